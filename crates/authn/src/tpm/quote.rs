//! Quotes (TPM 2.0 Library, Part 3, §18.4): an attestation key signs a nonce, and what its TPM has measured.

use domain::rng::Rng;
use subtle::ConstantTimeEq as _;

use super::{
    AttestationKey, Refusal, Result,
    structures::{self, Attested, Clock},
};

const NONCE_LENGTH: usize = 32;
/// What firmware, its configuration and the boot loader measure into (TCG PC Client Platform Firmware Profile §3.3.4).
const BOOT: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// What is to be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteRequest {
    /// The qualifying data.
    pub nonce: Vec<u8>,
    /// The bank of PCRs by its `TPM_ALG_ID`.
    pub hash_algorithm: u16,
    /// The selected PCRs.
    pub pcrs: Vec<u8>,
}

/// What a client answers.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// `TPMS_ATTEST`.
    pub attestation: &'a [u8],
    /// `TPMT_SIGNATURE`.
    pub signature: &'a [u8],
}

/// What a verified quote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// When.
    pub clock: Clock,
    /// The hash over the selected PCRs, by the hash of the key's scheme. What it should be, nothing here knows.
    pub pcr_digest: Vec<u8>,
}

impl QuoteRequest {
    /// Over a new nonce and the PCRs 0 to 7 of the SHA-256 bank.
    pub fn new(rng: &dyn Rng) -> Self {
        let mut nonce = vec![0; NONCE_LENGTH];
        rng.fill(&mut nonce);
        Self {
            nonce,
            hash_algorithm: structures::SHA256,
            pcrs: BOOT.to_vec(),
        }
    }

    /// Checks that `key` has signed this nonce and these PCRs.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn verify(&self, key: &AttestationKey, quote: &Quote<'_>) -> Result<Quoted> {
        let (attest, clock) = key.attested(quote.attestation, quote.signature)?;
        let Attested::Quote {
            selection,
            pcr_digest,
        } = attest.attested
        else {
            return Err(Refusal::Attestation("it is no quote"));
        };
        let is_answer = self.nonce.len() >= NONCE_LENGTH
            && bool::from(attest.extra_data.ct_eq(self.nonce.as_slice()));
        if !is_answer {
            return Err(Refusal::Attestation("it is over another nonce"));
        }
        if !self.is_selection(&selection) {
            return Err(Refusal::Attestation("it is over other PCRs"));
        }
        Ok(Quoted {
            clock,
            pcr_digest: pcr_digest.to_vec(),
        })
    }

    /// One bank, and in it these PCRs.
    fn is_selection(&self, selection: &[(u16, &[u8])]) -> bool {
        let [(bank, bitmap)] = selection else {
            return false;
        };
        let selected = (0_u8..=u8::MAX).filter(|pcr| {
            bitmap
                .get(usize::from(pcr / 8))
                .is_some_and(|byte| byte >> (pcr % 8) & 1 == 1)
        });
        *bank == self.hash_algorithm && selected.eq(self.pcrs.iter().copied())
    }
}
