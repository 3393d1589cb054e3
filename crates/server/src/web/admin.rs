//! The admin console, for Users whose Policies allow them to call the API.
//!
//! Each page calls the API in process with the Session of the visitor. The API authorizes and executes these calls like
//! calls from the network. Pages leave out what the API would deny.

mod access;
mod action;
mod api;
mod audit;
mod confirm;
mod create;
mod events;
mod inspect;
mod kind;
mod list;
mod one_time_form;
mod overview;
mod secret;
mod view;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, request::Parts};

pub(super) use self::api::Api;
use super::{
    failure::Failure,
    portal::Member,
    visit::{Visit, Visitor},
};
use crate::{Caller, Context};

pub(super) const ADMIN: &str = "/admin";

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(ADMIN, get(overview::page))
        .route(audit::PLACE, get(audit::page))
        .route(access::PLACE, get(access::page))
        .route(
            "/admin/create/credential",
            get(create::page).post(create::create),
        )
        .route("/admin/{kind}", get(list::page))
        .route("/admin/{kind}/{name}", get(inspect::page))
        .route(
            "/admin/{kind}/{name}/{action}",
            get(confirm::page).post(confirm::act),
        )
}

/// The API for the Session of the visitor, stored in the extensions of each page request. `None` if the visitor is not
/// signed in or has no administrative access.
pub(super) type AdminApi = Result<Option<Arc<Api>>, Failure>;

pub(super) async fn admin_api(
    ctx: &Context,
    visit: &Visit,
    caller: &Caller,
    headers: &HeaderMap,
) -> AdminApi {
    let Visit::SignedIn(visitor) = visit else {
        return Ok(None);
    };
    let Ok(active) = visitor.check_active(ctx, ctx.now()).await else {
        return Ok(None);
    };
    let api = Api::of(ctx, visitor, &active, caller, headers).await?;
    Ok(api.has_anything().then(|| Arc::new(api)))
}

/// Extractor for a visitor with administrative access. Other visitors get 404.
pub(super) struct Administrator {
    pub(super) api: Arc<Api>,
    pub(super) visitor: Arc<Visitor>,
}

impl FromRequestParts<Context> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ctx: &Context) -> Result<Self, Response> {
        let Member { visitor, .. } = Member::from_request_parts(parts, ctx).await?;
        let admin_api = Extension::<AdminApi>::from_request_parts(parts, ctx).await;
        let Extension(admin_api) = admin_api.map_err(|_| Failure::unavailable().into_response())?;
        let api = admin_api.map_err(Failure::into_response)?;
        let api = api.ok_or_else(|| Failure::not_found().into_response())?;
        Ok(Self { api, visitor })
    }
}
