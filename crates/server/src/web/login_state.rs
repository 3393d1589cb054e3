//! State of a pending login at an identity provider. It is kept in a sealed cookie and can be used once in the whole
//! Cluster.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::id::Uid;
use http::{HeaderMap, HeaderValue, StatusCode};
use subtle::ConstantTimeEq as _;

use super::{
    cookie::{self, SameSite},
    failure::Failure,
    next::{Next, SealedNext},
};
use crate::{
    Context, Error,
    authentication::SingleUse,
    sealed::{self, NotOpened, Purpose},
};

const LIFETIME: Duration = Duration::from_mins(10);
const ID_LENGTH: usize = 32;
/// Kind of the record that marks a login state as used.
const USED: &str = "login-used";

/// State that the browser keeps while the person is at the provider.
pub(super) struct LoginState {
    pub(super) id: String,
    pub(super) provider: Uid,
    pub(super) protocol_state: Vec<u8>,
    pub(super) next: Next,
    /// The previous Session of the browser.
    pub(super) former: Option<Uid>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Cookie {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    provider: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    protocol_state: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    next: Option<SealedNext>,
    #[prost(bytes = "vec", optional, tag = "5")]
    former: Option<Vec<u8>>,
}

/// Returns a random id that cannot be guessed.
pub(super) fn new_id(ctx: &Context) -> String {
    let mut bytes = [0; ID_LENGTH];
    ctx.rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl LoginState {
    /// Seals the state into a cookie. Its `SameSite` attribute is `None`, because providers also answer with cross-site
    /// forms.
    ///
    /// # Errors
    /// Returns an error if no signing key is available or the cookie would be too long.
    pub(super) fn cookie(&self, ctx: &Context) -> Result<HeaderValue, Error> {
        let content = Cookie {
            id: self.id.clone(),
            provider: self.provider.as_bytes().to_vec(),
            protocol_state: self.protocol_state.clone(),
            next: Some(self.next.to_sealed()),
            former: self.former.map(|former| former.as_bytes().to_vec()),
        };
        let expires_at = ctx.now().saturating_add(LIFETIME);
        let text = sealed::seal(ctx, Purpose::LoginState, &content, expires_at)?;
        cookie::set(cookie::LOGIN, &text, SameSite::None, LIFETIME)
            .ok_or_else(|| Error::internal("no cookie could be made"))
    }

    /// Returns the login of this browser that `state` belongs to. [`Self::used`] ends it.
    ///
    /// # Errors
    /// Returns a [`Failure`] if this browser did not begin the login, or if the login took too long or is finished.
    pub(super) async fn read(
        ctx: &Context,
        headers: &HeaderMap,
        state: Option<&str>,
    ) -> Result<Self, Failure> {
        let text = cookie::find(headers, cookie::LOGIN).ok_or_else(foreign)?;
        let opened = sealed::open::<Cookie>(ctx, Purpose::LoginState, text).await;
        let cookie = opened.map_err(|error| match error {
            NotOpened::Invalid => foreign(),
            NotOpened::Expired => late(),
            NotOpened::Unavailable => Failure::unavailable(),
        })?;
        let is_of_this_browser =
            state.is_some_and(|state| state.as_bytes().ct_eq(cookie.id.as_bytes()).into());
        if !is_of_this_browser {
            return Err(foreign());
        }
        let former = cookie.former.map(|former| Uid::from_bytes(&former));
        let (Ok(provider), Ok(former)) = (Uid::from_bytes(&cookie.provider), former.transpose())
        else {
            return Err(foreign());
        };
        let id = cookie.id.as_bytes();
        let is_finished = ctx.store.has_record(USED, id, ctx.now()).await;
        if is_finished.map_err(Error::from)? {
            return Err(again(
                "This sign-in is already complete",
                "The response arrived twice, perhaps because the page was reloaded. If you are not signed in, sign in \
                 again.",
            ));
        }
        Ok(Self {
            id: cookie.id,
            provider,
            protocol_state: cookie.protocol_state,
            next: Next::from_sealed(cookie.next.unwrap_or_default()),
            former,
        })
    }

    /// Returns the record that marks the login as used. The transaction that creates the Session stores it, so a failed
    /// login stores nothing.
    pub(super) fn used(&self, ctx: &Context) -> SingleUse {
        SingleUse {
            kind: USED,
            key: self.id.clone().into_bytes(),
            expires_at: ctx.now().saturating_add(LIFETIME),
        }
    }
}

fn foreign() -> Failure {
    again(
        "This sign-in was not started here",
        "This browser did not start this sign-in, or it started another one since. You are not signed in. Sign in from \
         here.",
    )
}

fn late() -> Failure {
    again(
        "The sign-in took too long",
        "More than ten minutes have passed since you started. Sign in again.",
    )
}

fn again(title: &str, text: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, title, text).then("/login", "Sign in")
}
