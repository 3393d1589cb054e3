//! The page behind an enrollment link.
//!
//! The secret is in the fragment of the link, which browsers never send to a server. The script of the page copies it
//! into the form; without scripts the person pastes it. Only submitting the form redeems the link.

use api::core_v1::{Authenticator, session::status::AuthenticatorAction};
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::session;
use http::HeaderMap;
use maud::{Markup, html};

use super::{
    authenticators,
    failure::Failure,
    form::VerifiedForm,
    page::{Page, token_field},
    see_other,
    visit::{self, Visit},
};
use crate::{
    Caller, Context, Error,
    authentication::{browser::NewBrowserSession, enrollment},
    document::{index, load},
};

pub(super) async fn page(State(ctx): State<Context>, visit: Visit) -> Result<Response, Failure> {
    let known = match &visit {
        Visit::SignedIn(visitor) => {
            Some((visitor.display_name().to_owned(), visitor.form_token(&ctx)?))
        }
        Visit::Unknown(_) => None,
    };
    Ok(Page::new("Sign in with a link", form(known.as_ref())).into_response())
}

/// Redeems the link and signs the browser in.
pub(super) async fn redeem(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let text = form.get("link").unwrap_or_default();
    // Accepts the whole link or only its fragment.
    let text = text.rsplit('#').next().unwrap_or_default();
    let former = visit::former(&ctx, &headers).await;
    let begun = enrollment::redeem(&ctx, text, former, &caller)
        .await
        .map_err(|error| Failure::from(error).then("/enroll", "Try another link"))?;
    let place = match session::action(&begun.session) {
        AuthenticatorAction::Unset if has_authenticators(&ctx, &begun).await? => "/".to_owned(),
        // The link cannot be used again, so the person needs another way to sign in.
        AuthenticatorAction::Unset => authenticators::offer(),
        // The login page handles the pending Authenticator action before it continues to the portal.
        _ => "/login".to_owned(),
    };
    Ok(see_other(
        &place,
        [Some(visit::new_session_cookie(&ctx, &begun)?)],
    ))
}

async fn has_authenticators(ctx: &Context, begun: &NewBrowserSession) -> Result<bool, Error> {
    let status = begun.session.status.as_ref();
    let user = status.and_then(|status| status.user_ref.as_ref());
    let user = user.map_or("", |user| user.uid.as_str());
    let (found, _) =
        load::by_index::<Authenticator>(&*ctx.store, index::USER, user, 1, ctx.now()).await?;
    Ok(!found.is_empty())
}

fn form(known: Option<&(String, String)>) -> Markup {
    html! {
        section.card {
            h1 { "Sign in with a link" }
            p id="enroll-who" hidden { "You will be signed in as " strong id="enroll-name" {} "." }
            @if let Some((name, _)) = known {
                p.hint { "You are signed in as " (name) ". This Session ends when you use the link." }
            }
            form.stack method="post" action="/enroll" {
                @if let Some((_, token)) = known { (token_field(token)) }
                div id="enroll-paste" {
                    label for="link" { "The link that you were given" }
                    input type="text" id="link" name="link" required autocomplete="off" spellcheck="false" autocapitalize="off";
                }
                button.wide type="submit" { "Sign in" }
            }
            p.fine { "The link works once. If someone else has used it, tell the administrator who gave it to you." }
        }
    }
}
