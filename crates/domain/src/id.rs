//! Typed identifiers.

use std::{fmt, str::FromStr};

use uuid::{Builder, Uuid};

use crate::rng::Rng;

/// The immutable id of a resource: a UUID version 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Uuid);

/// Not 16 bytes, or not a UUID in its usual spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidUid;

impl Uid {
    /// A new one.
    pub fn random(rng: &dyn Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Self(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// From its 16 bytes.
    ///
    /// # Errors
    /// Where there are not 16.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidUid> {
        Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidUid)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// True for a random (version 4, RFC 9562 variant) UUID.
    pub fn is_random(&self) -> bool {
        self.0.get_version_num() == 4 && self.0.get_variant() == uuid::Variant::RFC4122
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = InvalidUid;

    /// Accepts the hyphenated form only, in either case.
    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        if text.len() != 36 {
            return Err(InvalidUid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidUid)
    }
}
