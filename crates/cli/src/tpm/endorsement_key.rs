//! Endorsement keys, with the templates and indexes of the TCG EK Credential Profile 2.5 (§2.2, Annex B).

use super::{
    Error, Result, Tpm,
    commands::{ENDORSEMENT, error_number},
};

/// `TPM_ALG_SHA256`
const SHA256: u16 = 0x000b;
/// Policy digest of `TPM2_PolicySecret(TPM_RH_ENDORSEMENT)` (`PolicyA` of the profile).
const POLICY_A: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// SHA-384 policy digest of the same policy or one that the owner sets (`PolicyB` of the profile).
const POLICY_B: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];
/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `adminWithPolicy`, `restricted`, `decrypt`.
const LOW_ATTRIBUTES: [u8; 4] = [0x00, 0x03, 0x00, 0xb2];
/// The low attributes and `userWithAuth`.
const HIGH_ATTRIBUTES: [u8; 4] = [0x00, 0x03, 0x00, 0xf2];
/// AES in CFB mode, without a scheme.
const AES_128: [u8; 8] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10];
const AES_256: [u8; 8] = [0x00, 0x06, 0x01, 0x00, 0x00, 0x43, 0x00, 0x10];
/// Bytes of a `SubjectPublicKeyInfo` before and after the modulus, for RSA-2048 with exponent 65537.
const RSA_PREFIX: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01,
    0x00,
];
const RSA_SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// Bytes of a `SubjectPublicKeyInfo` before the point, for P-256.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Bytes of a `SubjectPublicKeyInfo` before the point, for P-384.
const P384_PREFIX: [u8; 24] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
];

/// The template of an endorsement key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Template {
    /// Template L-1: RSA-2048.
    Rsa2048,
    /// Template L-2.
    P256,
    /// Template H-3.
    P384,
}

/// A loaded endorsement key.
#[derive(Debug)]
pub(super) struct EndorsementKey {
    pub(super) handle: u32,
    /// Public key as PKIX `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
}

impl Template {
    /// Templates in the order in which they are tried.
    const ALL: [Self; 3] = [Self::Rsa2048, Self::P256, Self::P384];

    /// Returns the template that a secret was encrypted to, by the length of the secret.
    pub(super) fn of_secret(secret: &[u8]) -> Option<Self> {
        match secret.len() {
            258 => Some(Self::Rsa2048),
            70 => Some(Self::P256),
            102 => Some(Self::P384),
            _ => None,
        }
    }

    /// Returns the hash of the policy that authorizes the key, or `None` if the key uses an empty password.
    pub(super) fn policy_hash(self) -> Option<u16> {
        match self {
            Self::Rsa2048 | Self::P256 => Some(SHA256),
            Self::P384 => None,
        }
    }

    /// Returns the NV index of the certificate.
    fn certificate_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::P256 => 0x01c0_000a,
            Self::P384 => 0x01c0_0016,
        }
    }

    /// Returns the NV index of a template that the manufacturer may have stored.
    fn template_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0004,
            Self::P256 => 0x01c0_000c,
            Self::P384 => 0x01c0_0017,
        }
    }

    /// Returns the NV index of a nonce for the template that the manufacturer may have stored.
    fn nonce_index(self) -> Option<u32> {
        match self {
            Self::Rsa2048 => Some(0x01c0_0003),
            Self::P256 => Some(0x01c0_000b),
            Self::P384 => None,
        }
    }

    /// Returns the handle of the key if it is persistent.
    fn persistent(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x8101_0001,
            Self::P256 => 0x8101_0002,
            Self::P384 => 0x8101_0016,
        }
    }

    /// Returns `TPMT_PUBLIC` up to its `unique` field.
    fn fixed(self) -> Vec<u8> {
        let low: &[&[u8]] = &[
            &SHA256.to_be_bytes(),
            &LOW_ATTRIBUTES,
            &[0x00, 0x20],
            &POLICY_A,
            &AES_128,
        ];
        match self {
            // 2048 bits, default exponent.
            Self::Rsa2048 => [&[0x00, 0x01], low.concat().as_slice(), &[8, 0, 0, 0, 0, 0]].concat(),
            // The curve, no KDF.
            Self::P256 => [&[0x00, 0x23], low.concat().as_slice(), &[0, 3, 0, 0x10]].concat(),
            Self::P384 => [
                &[0x00, 0x23, 0x00, 0x0c],
                HIGH_ATTRIBUTES.as_slice(),
                &[0x00, 0x30],
                &POLICY_B,
                &AES_256,
                &[0, 4, 0, 0x10],
            ]
            .concat(),
        }
    }

    /// Returns `TPMT_PUBLIC` with the nonce of the manufacturer, or an empty one.
    fn public(self, nonce: &[u8]) -> Vec<u8> {
        let filled = |length: u16| {
            let mut unique = nonce.to_vec();
            unique.resize(usize::from(length), 0);
            [length.to_be_bytes().as_slice(), &unique].concat()
        };
        let unique = match self {
            Self::Rsa2048 => filled(256),
            Self::P256 => [filled(32).as_slice(), &[0x00, 0x20], &[0; 32]].concat(),
            Self::P384 => vec![0; 4],
        };
        [self.fixed(), unique].concat()
    }

    /// Returns the bytes of a `SubjectPublicKeyInfo` before and after the key.
    fn pkix_frame(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Rsa2048 => (&RSA_PREFIX, &RSA_SUFFIX),
            Self::P256 => (&P256_PREFIX, &[]),
            Self::P384 => (&P384_PREFIX, &[]),
        }
    }

    /// Extracts the modulus or both coordinates from a public area. Returns `None` if it does not match this template.
    fn octets(self, public: &[u8]) -> Option<Vec<u8>> {
        let unique = public.strip_prefix(self.fixed().as_slice())?;
        let (lengths, is_point): (usize, bool) = match self {
            Self::Rsa2048 => (256, false),
            Self::P256 => (32, true),
            Self::P384 => (48, true),
        };
        let (first, rest) = sized(unique)?;
        let (second, rest) = if is_point {
            sized(rest)?
        } else {
            (&[][..], rest)
        };
        if !rest.is_empty() || first.len() > lengths || second.len() > lengths {
            return None;
        }
        // A TPM may omit leading zeros.
        let padded = |number: &[u8]| [vec![0; lengths - number.len()].as_slice(), number].concat();
        Some(if is_point {
            [padded(first), padded(second)].concat()
        } else {
            padded(first)
        })
    }
}

impl EndorsementKey {
    /// Loads the first key with a certificate of the manufacturer and returns the certificate in DER. If no key has a
    /// certificate, loads the RSA key.
    pub(super) fn find(tpm: &mut Tpm) -> Result<(Self, Option<Vec<u8>>)> {
        for template in Template::ALL {
            let Some(contents) = tpm.nv_read(template.certificate_index())? else {
                continue;
            };
            let Some(certificate) = certificate_in(&contents) else {
                continue;
            };
            let key = Self::load(tpm, template)?;
            // Ignores a certificate whose key this TPM cannot create any longer.
            let (prefix, suffix) = template.pkix_frame();
            let is_own = key
                .public_key
                .strip_prefix(prefix)
                .and_then(|key| key.strip_suffix(suffix))
                .is_some_and(|own| certificate.windows(own.len()).any(|window| window == own));
            if is_own {
                return Ok((key, Some(certificate.to_vec())));
            }
            tpm.release(key.handle)?;
        }
        Ok((Self::load(tpm, Template::Rsa2048)?, None))
    }

    /// Loads the persistent key, or creates it again from the template, which always gives the same key.
    pub(super) fn load(tpm: &mut Tpm, template: Template) -> Result<Self> {
        let kept = template.persistent();
        if let Some(key) = tpm
            .read_public(kept)?
            .and_then(|public| Self::of(kept, template, &public))
        {
            return Ok(key);
        }
        let public = in_use(tpm, template)?;
        let (handle, public) = tpm.create_primary(ENDORSEMENT, &public)?;
        if let Some(key) = Self::of(handle, template, &public) {
            return Ok(key);
        }
        tpm.release(handle)?;
        Err(Error::Response("TPM2_CreatePrimary"))
    }

    fn of(handle: u32, template: Template, public: &[u8]) -> Option<Self> {
        let octets = template.octets(public)?;
        let (prefix, suffix) = template.pkix_frame();
        Some(Self {
            handle,
            public_key: [prefix, &octets, suffix].concat(),
        })
    }
}

/// Returns the `TPMT_PUBLIC` that this TPM creates the key from.
fn in_use(tpm: &mut Tpm, template: Template) -> Result<Vec<u8>> {
    if let Some(public) = tpm.nv_read(template.template_index())? {
        return Ok(public);
    }
    let nonce = match template.nonce_index() {
        Some(index) => tpm.nv_read(index)?,
        None => None,
    };
    Ok(template.public(&nonce.unwrap_or_default()))
}

/// Returns the certificate in an NV index without trailing padding.
fn certificate_in(contents: &[u8]) -> Option<&[u8]> {
    let [0x30, 0x82, high, low, ..] = contents else {
        return None;
    };
    contents.get(..4 + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Splits a size-prefixed field from the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Returns whether a command failed because of the key, and not because of the state of the TPM.
pub(super) fn is_key_error(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. } if error_number(*code).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_public_areas() {
        for (template, size) in [(Template::Rsa2048, 256), (Template::P256, 64)] {
            let public = template.public(b"nonce");
            let key = EndorsementKey::of(7, template, &public).unwrap();
            let (prefix, suffix) = template.pkix_frame();
            let octets = key.public_key.strip_prefix(prefix).unwrap();
            let octets = octets.strip_suffix(suffix).unwrap();
            assert_eq!((octets.len(), &octets[..6]), (size, &b"nonce\0"[..]));
            assert!(EndorsementKey::of(7, template, &public[1..]).is_none());
            let longer = [&public[..], &[0]].concat();
            assert!(EndorsementKey::of(7, template, &longer).is_none());
            assert!(EndorsementKey::of(7, Template::P384, &public).is_none());
        }
        let point = [Template::P384.fixed(), vec![0, 1, 5, 0, 2, 6, 7]].concat();
        let octets = Template::P384.octets(&point).unwrap();
        assert_eq!(
            (octets.len(), octets[47], &octets[94..]),
            (96, 5, &[6, 7][..])
        );
    }

    #[test]
    fn a_certificate_ends_where_it_says() {
        let filled = [&[0x30, 0x82, 0, 2, 7, 7][..], &[0xff; 9]].concat();
        assert_eq!(certificate_in(&filled), Some(&filled[..6]));
        assert_eq!(certificate_in(&filled[..5]), None);
        assert_eq!(certificate_in(&[0xff; 9]), None);
    }
}
