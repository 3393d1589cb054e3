//! Authenticator data (§6.1).

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    Expected, cbor,
    error::{Refusal, Result},
    key::PublicKey,
};

const WHAT: &str = "the authenticator data";
/// In bytes (§4, "Credential ID").
const LONGEST_ID: usize = 1023;

/// Identifier of an authenticator model. All zeros if the authenticator does not disclose it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Aaguid(pub [u8; 16]);

/// Flags of the authenticator data (§6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent bits")]
pub struct Flags {
    /// A user was present.
    pub user_present: bool,
    /// The authenticator verified the user, for example with a PIN or a fingerprint.
    pub user_verified: bool,
    /// The credential can be copied to other devices.
    pub backup_eligible: bool,
    /// The credential was copied to other devices.
    pub backup_state: bool,
}

/// Authenticator data for the expected RP ID, with the user present.
pub(super) struct AuthenticatorData {
    pub(super) flags: Flags,
    pub(super) sign_count: u32,
    pub(super) credential: Option<CredentialData>,
}

/// A newly created credential.
pub(super) struct CredentialData {
    pub(super) aaguid: Aaguid,
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    /// Original CBOR encoding of the `COSE_Key`.
    pub(super) encoded_key: Vec<u8>,
}

impl AuthenticatorData {
    /// Parses the whole of `bytes` and runs the checks that registration and authentication share.
    pub(super) fn check(bytes: &[u8], expected: &Expected<'_>) -> Result<Self> {
        let malformed = Refusal::Malformed(WHAT);
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(malformed.clone())?;
        let ([bits], rest) = rest.split_first_chunk::<1>().ok_or(malformed.clone())?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or(malformed.clone())?;
        if rp_id_hash.as_slice() != digest(&SHA256, expected.rp_id.as_bytes()).as_ref() {
            return Err(Refusal::RpId);
        }
        let has = |bit: u8| bits & bit != 0;
        let flags = Flags {
            user_present: has(0x01),
            user_verified: has(0x04),
            backup_eligible: has(0x08),
            backup_state: has(0x10),
        };
        let mut credential = None;
        if has(0x40) {
            let (found, behind) = CredentialData::read(rest)?;
            credential = Some(found);
            rest = behind;
        }
        if has(0x80) {
            let (extensions, behind) = cbor::item(rest, WHAT)?;
            if !extensions.is_map() {
                return Err(malformed);
            }
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(malformed);
        }
        if !flags.user_present {
            return Err(Refusal::UserPresence);
        }
        if expected.user_verification && !flags.user_verified {
            return Err(Refusal::UserVerification);
        }
        if flags.backup_state && !flags.backup_eligible {
            return Err(Refusal::BackupFlags);
        }
        Ok(Self {
            flags,
            sign_count: u32::from_be_bytes(*count),
            credential,
        })
    }
}

impl CredentialData {
    fn read(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let malformed = Refusal::Malformed(WHAT);
        let (aaguid, rest) = bytes.split_first_chunk::<16>().ok_or(malformed.clone())?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(malformed.clone())?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, rest) = rest.split_at_checked(length).ok_or(malformed.clone())?;
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(malformed);
        }
        let (value, behind) = cbor::item(rest, WHAT)?;
        let encoded_key = rest.strip_suffix(behind).unwrap_or_default().to_vec();
        let credential = Self {
            aaguid: Aaguid(*aaguid),
            id: id.to_vec(),
            key: PublicKey::from_cose(&value)?,
            encoded_key,
        };
        Ok((credential, behind))
    }
}

impl fmt::Display for Aaguid {
    /// Formats the identifier as a UUID in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The text is not a UUID in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidAaguid;

impl FromStr for Aaguid {
    type Err = InvalidAaguid;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidAaguid> {
        let mut bytes = [0; 16];
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidAaguid)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidAaguid)?;
        }
        // Only the canonical spelling is accepted.
        let read = Self(bytes);
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(InvalidAaguid)
        }
    }
}

impl fmt::Debug for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
