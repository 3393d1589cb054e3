//! The portal: the Services that a person can reach, their Sessions, Devices and profile.

mod devices;
mod profile;
mod services;
mod sessions;
pub(super) mod time_text;

pub(super) use time_text::{time_text, utc};

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{Method, request::Parts};

use super::{
    authenticators,
    failure::Failure,
    next::Next,
    see_other,
    visit::{Visit, Visitor},
};
use crate::{Context, authentication::active::ActiveSession};

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/", get(services::page))
        .route("/sessions", get(sessions::page))
        .route("/sessions/end", post(sessions::end))
        .route("/sessions/end-others", post(sessions::end_others))
        .route("/sessions/end-all", post(sessions::end_all))
        .route("/devices", get(devices::page))
        .route("/profile", get(profile::page))
}

/// Extractor for a visitor with an active Session. Other visitors are redirected to the login or see why the Session
/// cannot be used.
pub(crate) struct Member {
    pub(crate) visitor: Arc<Visitor>,
    pub(crate) active: ActiveSession,
}

impl FromRequestParts<Context> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ctx: &Context) -> Result<Self, Response> {
        let Ok(visit) = Visit::from_request_parts(parts, ctx).await;
        let next = next(parts);
        let Visit::SignedIn(visitor) = visit else {
            let login = next.login(ctx).map_err(Failure::into_response)?;
            return Err(see_other(&login, []));
        };
        let authenticator_page = authenticators::required_authenticator_page(ctx, &visitor, &next);
        if let Some(place) = authenticator_page.map_err(Failure::into_response)? {
            return Err(see_other(&place, []));
        }
        let active = visitor.check_active(ctx, ctx.now()).await;
        let active = active.map_err(Failure::into_response)?;
        Ok(Self { visitor, active })
    }
}

/// Returns the requested page. Returns the portal for a form, because only a GET can be repeated.
pub(super) fn next(parts: &Parts) -> Next {
    let place = parts.uri.path_and_query();
    match place {
        Some(place) if parts.method == Method::GET => Next::page(place.as_str()),
        _ => Next::Portal,
    }
}

impl std::ops::Deref for Member {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}
