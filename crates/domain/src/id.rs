//! Typed identifiers.

use std::{fmt, str::FromStr};

use uuid::{Builder, Uuid};

use crate::rng::Rng;

/// The immutable id of a resource: a UUID version 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Uuid);

/// The error for bytes or text that is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidUid;

impl Uid {
    /// Generates a random id.
    pub fn random(rng: &dyn Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Self(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Converts from 16 bytes.
    ///
    /// # Errors
    /// Returns [`InvalidUid`] if there are not exactly 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidUid> {
        Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidUid)
    }

    /// Returns the 16 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Returns whether this is a random UUID (version 4, RFC 9562 variant).
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

    /// Accepts only the hyphenated form, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        if text.len() != 36 {
            return Err(InvalidUid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidUid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    #[test]
    fn a_new_id_is_a_random_uuid_and_reads_back() {
        let uid = Uid::random(&SeededRng::new(1));
        assert!(uid.is_random());
        assert_eq!(uid.to_string().parse(), Ok(uid));
        assert_eq!(Uid::from_bytes(uid.as_bytes()), Ok(uid));
        assert!(!Uid::from_bytes(&[0; 16]).unwrap().is_random());
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = "6fa459ea-ee8a-4ca4-894e-db77e160355e";
        assert!(text.parse::<Uid>().is_ok());
        for spelling in [
            "",
            "6fa459eaee8a4ca4894edb77e160355e",
            "{6fa459ea-ee8a-4ca4-894e-db77e160355e}",
            "urn:uuid:6fa459ea-ee8a-4ca4-894e-db77e160355e",
            "6fa459ea-ee8a-4ca4-894e-db77e160355",
            "6fa459ea-ee8a-4ca4-894e-db77e160355g",
            "6fa459ea_ee8a_4ca4_894e_db77e160355e",
        ] {
            assert_eq!(spelling.parse::<Uid>(), Err(InvalidUid), "{spelling}");
        }
        assert_eq!(Uid::from_bytes(&[1; 15]), Err(InvalidUid));
    }
}
