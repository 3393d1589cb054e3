//! The admin console: the resources of the Cluster, for those whom Policies allow what the API does with them.
//!
//! Whatever a page reads or does is a call of the API by the Session of whoever looks at it, decided and carried out as
//! one that came over the network. What would be denied is not on a page.

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
mod once;
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

/// Where it begins.
pub(super) const ADMIN: &str = "/admin";

/// Its pages.
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

/// The API as the Session of a visitor may use it; `None` for whoever is nobody, or has nothing here. In the extensions
/// of each request to a page.
pub(super) type Desk = Result<Option<Arc<Api>>, Failure>;

/// What there is for the visitor.
pub(super) async fn desk(
    ctx: &Context,
    visit: &Visit,
    caller: &Caller,
    headers: &HeaderMap,
) -> Desk {
    let Visit::Known(visitor) = visit else {
        return Ok(None);
    };
    let Ok(active) = visitor.check_active(ctx, ctx.now()).await else {
        return Ok(None);
    };
    let api = Api::of(ctx, visitor, &active, caller, headers).await?;
    Ok(api.has_anything().then(|| Arc::new(api)))
}

/// Somebody who may do something here. For others there is nothing.
pub(super) struct Administrator {
    pub(super) api: Arc<Api>,
    pub(super) visitor: Arc<Visitor>,
}

impl FromRequestParts<Context> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ctx: &Context) -> Result<Self, Response> {
        let Member { visitor, .. } = Member::from_request_parts(parts, ctx).await?;
        let desk = Extension::<Desk>::from_request_parts(parts, ctx).await;
        let Extension(desk) = desk.map_err(|_| Failure::unavailable().into_response())?;
        let api = desk.map_err(Failure::into_response)?;
        let api = api.ok_or_else(|| Failure::not_found().into_response())?;
        Ok(Self { api, visitor })
    }
}
