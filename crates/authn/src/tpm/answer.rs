//! The answer to a challenge, at registration and at each authentication.

use super::{ActivationSecret, AttestationKey, Quote, QuoteRequest, Quoted, Refusal, Result};

/// Whether a quote may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// A client that does not know of quotes answers with the secret alone.
    Optional,
    /// The key has quoted before, or the Cluster requires it.
    Required,
}

/// What was asked, as it was stored. To be used once.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// That the TPM was to recover.
    pub secret: &'a ActivationSecret,
    /// What it was to quote.
    pub quote: &'a QuoteRequest,
    /// Whether it had to.
    pub quoting: Quoting,
}

/// What a client answers.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The recovered secret.
    pub secret: &'a [u8],
    /// By the attestation key.
    pub quote: Option<Quote<'a>>,
}

impl Answer<'_> {
    /// Checks the secret, and the quote by `key` where there is one.
    ///
    /// # Errors
    /// The first reason against it. A quote that is wrong is refused also where none is required.
    pub fn verify(&self, expected: &Expected<'_>, key: &AttestationKey) -> Result<Option<Quoted>> {
        expected.secret.check(self.secret)?;
        match (&self.quote, expected.quoting) {
            (Some(quote), _) => expected.quote.verify(key, quote).map(Some),
            (None, Quoting::Optional) => Ok(None),
            (None, Quoting::Required) => Err(Refusal::QuoteMissing),
        }
    }
}
