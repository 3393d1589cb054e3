//! Answer to a TPM challenge, at registration and at each authentication.

use super::{ActivationSecret, AttestationKey, Quote, QuoteRequest, Quoted, Refusal, Result};

/// Requirement of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// Answers without a quote are accepted, for clients that do not support quotes.
    Optional,
    /// The quote is required, because the key has quoted before or the Cluster requires it.
    Required,
}

/// A stored challenge. Use it only once.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Secret that the TPM must recover.
    pub secret: &'a ActivationSecret,
    /// Requested quote.
    pub quote: &'a QuoteRequest,
    /// Requirement of the quote.
    pub quoting: Quoting,
}

/// Answer of a client.
#[derive(Debug, Clone, Copy)]
pub struct ChallengeResponse<'a> {
    /// Recovered secret.
    pub secret: &'a [u8],
    /// Quote signed by the attestation key, if the client supports it.
    pub quote: Option<Quote<'a>>,
}

impl ChallengeResponse<'_> {
    /// Verifies the secret, and the quote by `key` if present.
    ///
    /// # Errors
    /// Returns the first [`Refusal`] that applies. An invalid quote is rejected even if it is optional.
    pub fn verify(&self, expected: &Expected<'_>, key: &AttestationKey) -> Result<Option<Quoted>> {
        expected.secret.check(self.secret)?;
        match (&self.quote, expected.quoting) {
            (Some(quote), _) => expected.quote.verify(key, quote).map(Some),
            (None, Quoting::Optional) => Ok(None),
            (None, Quoting::Required) => Err(Refusal::QuoteMissing),
        }
    }
}
