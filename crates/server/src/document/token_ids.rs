//! Token ids of Sessions and Credentials. They are secrets: the store seals them beside the document, and only code
//! that authenticates reads them.

use std::fmt;

use api::core_v1::{
    Credential, Session,
    session::status::{Authentication, authentication::info::Details},
};
use prost::Message as _;
use store::{SecretWrite, StoreError};
use zeroize::Zeroizing;

/// The sealed form of the token ids.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct TokenIds {
    /// The current token id, or empty.
    #[prost(string, tag = "1")]
    present: String,
    /// Earlier token ids, in the order of the document.
    #[prost(string, repeated, tag = "2")]
    previous: Vec<String>,
}

impl fmt::Debug for TokenIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenIds")
    }
}

impl TokenIds {
    /// Decodes the form that [`TokenIds::to_secret`] returns.
    ///
    /// # Errors
    /// Returns an error with [`prost::DecodeError`] as its source if the stored secret is damaged.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, StoreError> {
        Self::decode(secret).map_err(|error| StoreError {
            context: "decode token ids".to_owned(),
            transient: false,
            source: Some(std::sync::Arc::new(error)),
        })
    }

    /// Returns the write that seals them, or `None` if there are none.
    pub(super) fn to_secret(&self) -> Option<SecretWrite> {
        (!self.is_empty()).then(|| SecretWrite::Set(Zeroizing::new(self.encode_to_vec())))
    }

    fn is_empty(&self) -> bool {
        self.present.is_empty() && self.previous.iter().all(String::is_empty)
    }
}

/// A message with token ids.
pub trait HasTokenIds {
    /// Removes them from the message.
    fn take_token_ids(&mut self) -> TokenIds;

    /// Restores them in the message from which they were taken.
    fn put_token_ids(&mut self, ids: TokenIds);
}

impl HasTokenIds for Credential {
    fn take_token_ids(&mut self) -> TokenIds {
        let Some(status) = &mut self.status else {
            return TokenIds::default();
        };
        TokenIds {
            present: std::mem::take(&mut status.token_id),
            previous: vec![std::mem::take(&mut status.previous_token_id)],
        }
    }

    fn put_token_ids(&mut self, ids: TokenIds) {
        if let Some(status) = &mut self.status {
            status.token_id = ids.present;
            status.previous_token_id = ids.previous.into_iter().next().unwrap_or_default();
        }
    }
}

impl HasTokenIds for Session {
    fn take_token_ids(&mut self) -> TokenIds {
        let Some(status) = &mut self.status else {
            return TokenIds::default();
        };
        // The initial authentication describes only the login. Its tokens have expired or are listed below.
        if let Some(initial) = &mut status.initial_authentication {
            take(initial);
        }
        let present = status.authentication.as_mut().map(take).unwrap_or_default();
        let previous = status.last_authentications.iter_mut().map(take).collect();
        TokenIds { present, previous }
    }

    fn put_token_ids(&mut self, ids: TokenIds) {
        let Some(status) = &mut self.status else {
            return;
        };
        if let Some(authentication) = &mut status.authentication {
            authentication.token_id = ids.present;
        }
        let previous = status.last_authentications.iter_mut();
        for (authentication, token_id) in previous.zip(ids.previous) {
            authentication.token_id = token_id;
        }
    }
}

/// Takes the token id of an authentication. Also removes the token id of a Credential, which earlier releases stored
/// there and nothing uses.
fn take(authentication: &mut Authentication) -> String {
    let details = authentication.info.as_mut();
    if let Some(Details::Credential(credential)) = details.and_then(|info| info.details.as_mut()) {
        credential.token_id.clear();
    }
    std::mem::take(&mut authentication.token_id)
}
