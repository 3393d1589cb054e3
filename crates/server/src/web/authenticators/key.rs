//! The form that the script of the pages fills with the answer of a passkey or a security key.

use maud::{Markup, html};

use crate::authentication::authenticator::fido::Challenge;

/// The Web Authentication call of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Ceremony {
    /// `navigator.credentials.create`.
    Create,
    /// `navigator.credentials.get`.
    Get,
}

impl Ceremony {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
        }
    }
}

/// Renders the form that posts the answer to `action`, with the fields `rest`.
pub(in crate::web) fn form(
    ceremony: Ceremony,
    challenge: &Challenge,
    action: &str,
    button: &str,
    rest: &Markup,
) -> Markup {
    html! {
        form.stack method="post" action=(action) data-webauthn=(ceremony.name()) data-options=(challenge.options) {
            (rest)
            input type="hidden" name="state" value=(challenge.state);
            input type="hidden" name="response" value="";
            p.warning role="alert" data-said hidden {}
            noscript { p.warning { "Passkeys and security keys need JavaScript, which is off in this browser." } }
            button.wide type="submit" disabled { (button) }
        }
    }
}
