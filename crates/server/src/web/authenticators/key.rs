//! The form that the script of the pages fills in with what a passkey or a security key has answered.

use maud::{Markup, html};

use crate::authentication::authenticator::fido::Challenge;

/// What the browser is to do.
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

/// Sends the answer to `action`, with the fields `rest`.
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
