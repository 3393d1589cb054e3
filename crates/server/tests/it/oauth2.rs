//! OAuth 2.0 as a generic client library uses it, through the whole router.

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use server::{Context, oauth2_router};
use tower::ServiceExt as _;

mod grant;
mod manage;
mod wire;

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) async fn send(ctx: &Context, request: Request<Body>) -> Reply {
    let response: Response<Body> = oauth2_router(ctx.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// Posts a form to `path`, with an optional `Authorization` header.
pub(crate) async fn post(
    ctx: &Context,
    path: &str,
    authorization: Option<&str>,
    form: &[(&str, &str)],
) -> Reply {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let mut request =
        Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    send(ctx, request.body(Body::from(body)).unwrap()).await
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Client {
    pub(crate) async fn grant(&self, ctx: &Context, scope: Option<&str>) -> Reply {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        post(ctx, "/oauth2/token", None, &form).await
    }

    pub(crate) async fn manage(&self, ctx: &Context, path: &str, token: &str) -> Reply {
        let authorization = basic(&self.id, &self.secret);
        post(ctx, path, Some(&authorization), &[("token", token)]).await
    }
}
