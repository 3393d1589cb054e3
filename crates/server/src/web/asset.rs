//! The style sheet and the script of the pages. Their paths contain a hash of the content, so browsers can cache them
//! indefinitely.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const FOREVER: &str = "public, max-age=31536000, immutable";

pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path(STYLE, "css"));
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path(SCRIPT, "js"));

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            &STYLE_PATH,
            get(async || serve(STYLE, "text/css; charset=utf-8")),
        )
        .route(
            &SCRIPT_PATH,
            get(async || serve(SCRIPT, "text/javascript; charset=utf-8")),
        )
}

fn serve(content: &'static str, content_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, FOREVER),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content).into_response()
}

fn path(content: &str, extension: &str) -> String {
    let digest = digest::digest(&digest::SHA256, content.as_bytes());
    let start = digest.as_ref().get(..9).unwrap_or_default();
    format!("/assets/{}.{extension}", URL_SAFE_NO_PAD.encode(start))
}
