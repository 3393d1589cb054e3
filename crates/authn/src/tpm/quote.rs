//! Quotes (TPM 2.0 Library, Part 3, §18.4): the attestation key signs a nonce and the TPM's measurements.

use domain::rng::Rng;
use subtle::ConstantTimeEq as _;

use super::{
    AttestationKey, Refusal, Result,
    structures::{self, Attested, Clock},
};

const NONCE_LENGTH: usize = 32;
/// PCRs of the firmware, its configuration and the boot loader (TCG PC Client Platform Firmware Profile §3.3.4).
const BOOT: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Contents of a requested quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteRequest {
    /// Nonce that the TPM signs (`qualifyingData` of `TPM2_Quote`).
    pub nonce: Vec<u8>,
    /// PCR bank, as a `TPM_ALG_ID`.
    pub hash_algorithm: u16,
    /// Indexes of the selected PCRs.
    pub pcrs: Vec<u8>,
}

/// Quote of a client.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// `TPMS_ATTEST`.
    pub attestation: &'a [u8],
    /// `TPMT_SIGNATURE`.
    pub signature: &'a [u8],
}

/// Contents of a verified quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// Time of the quote on the TPM's clock.
    pub clock: Clock,
    /// Digest of the selected PCRs, with the hash of the key's scheme. It is not compared with an expected value here.
    pub pcr_digest: Vec<u8>,
}

impl QuoteRequest {
    /// Requests a quote over a new nonce and the PCRs 0 to 7 of the SHA-256 bank.
    pub fn new(rng: &dyn Rng) -> Self {
        let mut nonce = vec![0; NONCE_LENGTH];
        rng.fill(&mut nonce);
        Self {
            nonce,
            hash_algorithm: structures::SHA256,
            pcrs: BOOT.to_vec(),
        }
    }

    /// Verifies that `key` signed this nonce and these PCRs.
    ///
    /// # Errors
    /// Returns the first [`Refusal`] that applies.
    pub fn verify(&self, key: &AttestationKey, quote: &Quote<'_>) -> Result<Quoted> {
        let (attest, clock) = key.attested(quote.attestation, quote.signature)?;
        let Attested::Quote {
            selection,
            pcr_digest,
        } = attest.attested
        else {
            return Err(Refusal::Attestation("it is not a quote"));
        };
        let is_answer = self.nonce.len() >= NONCE_LENGTH
            && bool::from(attest.extra_data.ct_eq(self.nonce.as_slice()));
        if !is_answer {
            return Err(Refusal::Attestation("it has another nonce"));
        }
        if !self.is_selection(&selection) {
            return Err(Refusal::Attestation("it covers other PCRs"));
        }
        Ok(Quoted {
            clock,
            pcr_digest: pcr_digest.to_vec(),
        })
    }

    /// Returns true if exactly the requested PCRs of one bank are selected.
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
