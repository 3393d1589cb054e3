//! Shows a Credential secret or an enrollment link once, in the response to the form that created it.

use ::api::core_v1::{CredentialToken, credential_token::Type};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::{Api, view};
use crate::web::failure::Failure;

/// Shows the secret of a Credential.
pub(super) fn page(api: &Api, name: &str, token: CredentialToken) -> Response {
    let parts = match token.r#type {
        Some(Type::AuthenticationToken(token)) => {
            vec![("Authentication token", token.authentication_token)]
        }
        Some(Type::Oauth2Credentials(client)) => vec![
            ("Client ID", client.client_id),
            ("Client secret", client.client_secret),
        ],
        Some(Type::AccessToken(token)) => vec![("Access token", token.access_token)],
        None => return Failure::unavailable().into_response(),
    };
    let body = html! {
        h1 { "The secret of " (name) }
        p.warning { strong { "This is shown only once." } " The Cluster does not store it. Copy it before you leave this page." }
        @for (label, value) in &parts { (part(label, value)) }
        p.actions { a.button.quiet href=(format!("/admin/credential/{name}")) { "I have copied it" } }
    };
    view::page(api, "The secret", "/admin/credential", &body).into_response()
}

/// Shows an enrollment link.
pub(super) fn link(api: &Api, user: &str, back: &str, url: &str) -> Response {
    let body = html! {
        h1 { "A link for " (user) }
        p.warning { strong { "This is shown only once." } " Anyone who opens the link is signed in as " (user) ". It works once. Send it only to that person, through a private channel." }
        (part("Link", url))
        p.actions { a.button.quiet href=(back) { "I have copied it" } }
    };
    view::page(api, "The link", "/admin/user", &body).into_response()
}

fn part(label: &str, value: &str) -> Markup {
    html! {
        div.secret {
            h2 { (label) }
            pre role="region" tabindex="0" aria-label=(label) { code { (value) } }
            button.quiet type="button" data-copy=(value) hidden { "Copy" span.unseen { " the " (label) } }
        }
    }
}
