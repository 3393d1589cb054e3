//! Endorsement keys, by the templates and in the places of the TCG EK Credential Profile 2.5 (§2.2, Annex B).

use super::{
    Error, Result, Tpm,
    commands::{ENDORSEMENT, error_number},
};

/// `TPM_ALG_SHA256`
const SHA256: u16 = 0x000b;
/// The digest of `TPM2_PolicySecret(TPM_RH_ENDORSEMENT)`, `PolicyA` of the profile.
const POLICY_A: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `adminWithPolicy`, `restricted`, `decrypt`.
const ATTRIBUTES: [u8; 4] = [0x00, 0x03, 0x00, 0xb2];
/// AES-128 in CFB, and no scheme.
const STORAGE: [u8; 8] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10];
/// `SubjectPublicKeyInfo` until the octets of the key, for RSA of 2048 bits with the exponent 65537, and behind them.
const RSA_PREFIX: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01,
    0x00,
];
const RSA_SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// The same for points on P-256.
const POINT_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Which endorsement key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Template {
    /// L-1: RSA of 2048 bits.
    Rsa,
    /// L-2: P-256.
    Point,
}

/// A loaded endorsement key.
#[derive(Debug)]
pub(super) struct EndorsementKey {
    pub(super) handle: u32,
    /// PKIX.
    pub(super) public_key: Vec<u8>,
}

impl Template {
    /// That a secret was encrypted to, by its length.
    pub(super) fn of_secret(secret: &[u8]) -> Option<Self> {
        match secret.len() {
            258 => Some(Self::Rsa),
            70 => Some(Self::Point),
            _ => None,
        }
    }

    /// Of its names and policy.
    pub(super) fn hash(self) -> u16 {
        match self {
            Self::Rsa | Self::Point => SHA256,
        }
    }

    /// Where its certificate, its nonce and its template are, where they are.
    fn indices(self) -> [u32; 3] {
        let first = match self {
            Self::Rsa => 0x01c0_0002,
            Self::Point => 0x01c0_000a,
        };
        [first, first + 1, first + 2]
    }

    /// Where the key may be kept.
    fn persistent(self) -> u32 {
        match self {
            Self::Rsa => 0x8101_0001,
            Self::Point => 0x8101_0002,
        }
    }

    /// `TPMT_PUBLIC` until what is unique.
    fn fixed(self) -> Vec<u8> {
        let (kind, parameters): ([u8; 2], &[u8]) = match self {
            // 2048 bits, the usual exponent.
            Self::Rsa => ([0x00, 0x01], &[0x08, 0x00, 0x00, 0x00, 0x00, 0x00]),
            // P-256, no KDF.
            Self::Point => ([0x00, 0x23], &[0x00, 0x03, 0x00, 0x10]),
        };
        [
            kind.as_slice(),
            &SHA256.to_be_bytes(),
            &ATTRIBUTES,
            &[0x00, 0x20],
            &POLICY_A,
            &STORAGE,
            parameters,
        ]
        .concat()
    }

    /// The whole, with a nonce where the TPM's maker has used one.
    fn public(self, nonce: &[u8]) -> Vec<u8> {
        let (length, rest): (u16, Vec<u8>) = match self {
            Self::Rsa => (256, Vec::new()),
            Self::Point => (32, [[0x00, 0x20].as_slice(), &[0; 32]].concat()),
        };
        let mut unique = nonce.to_vec();
        unique.resize(usize::from(length), 0);
        [self.fixed(), length.to_be_bytes().to_vec(), unique, rest].concat()
    }

    /// PKIX of a key of this template.
    fn pkix(self, public: &[u8]) -> Option<Vec<u8>> {
        let unique = public.strip_prefix(self.fixed().as_slice())?;
        match self {
            Self::Rsa => {
                let modulus = unique.strip_prefix(&[0x01, 0x00])?;
                let spki = [RSA_PREFIX.as_slice(), modulus, &RSA_SUFFIX].concat();
                (modulus.len() == 256).then_some(spki)
            }
            Self::Point => {
                let (x, y) = unique.strip_prefix(&[0x00, 0x20])?.split_at_checked(32)?;
                let y = y.strip_prefix(&[0x00, 0x20])?;
                (y.len() == 32).then(|| [POINT_PREFIX.as_slice(), x, y].concat())
            }
        }
    }
}

impl EndorsementKey {
    /// The endorsement key that its maker has certified, and the certificate in DER; else that of RSA without one.
    pub(super) fn find(tpm: &mut Tpm) -> Result<(Self, Option<Vec<u8>>)> {
        for template in [Template::Rsa, Template::Point] {
            let [certificate, ..] = template.indices();
            let Some(contents) = tpm.nv_read(certificate)? else {
                continue;
            };
            let Some(certificate) = certificate_in(&contents) else {
                continue;
            };
            let key = Self::load(tpm, template)?;
            // Of a key that this TPM cannot make any more, the certificate is of no use.
            let own = key.octets();
            if certificate.windows(own.len()).any(|window| window == own) {
                return Ok((key, Some(certificate.to_vec())));
            }
            tpm.release(key.handle)?;
        }
        Ok((Self::load(tpm, Template::Rsa)?, None))
    }

    /// Takes the key that is kept, or makes it again, which gives the same key each time.
    pub(super) fn load(tpm: &mut Tpm, template: Template) -> Result<Self> {
        let kept = template.persistent();
        if let Some(public_key) = tpm
            .read_public(kept)?
            .and_then(|public| template.pkix(&public))
        {
            return Ok(Self {
                handle: kept,
                public_key,
            });
        }
        let [_, nonce, whole] = template.indices();
        let public = match tpm.nv_read(whole)? {
            Some(public) => public,
            None => template.public(&tpm.nv_read(nonce)?.unwrap_or_default()),
        };
        let (handle, public) = tpm.create_primary(ENDORSEMENT, &public)?;
        if let Some(public_key) = template.pkix(&public) {
            return Ok(Self { handle, public_key });
        }
        tpm.release(handle)?;
        Err(Error::Response("TPM2_CreatePrimary"))
    }

    /// What of the key is in its certificate too, however that says what kind of key it is.
    fn octets(&self) -> &[u8] {
        let key = self.public_key.as_slice();
        key.strip_prefix(RSA_PREFIX.as_slice())
            .and_then(|key| key.strip_suffix(RSA_SUFFIX.as_slice()))
            .or_else(|| key.strip_prefix(POINT_PREFIX.as_slice()))
            .unwrap_or(key)
    }
}

/// The certificate without what fills its place up.
fn certificate_in(contents: &[u8]) -> Option<&[u8]> {
    let [0x30, 0x82, high, low, ..] = contents else {
        return None;
    };
    contents.get(..4 + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Whether a key was refused because of what it is, and not because of the TPM's state.
pub(super) fn is_about_key(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. } if error_number(*code).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_public_areas_and_certificates() {
        for template in [Template::Rsa, Template::Point] {
            let public = template.public(b"nonce");
            let key = EndorsementKey {
                handle: 0,
                public_key: template.pkix(&public).unwrap(),
            };
            assert_eq!(&key.octets()[..6], b"nonce\0");
            assert_eq!(template.pkix(&public[1..]), None);
            assert_eq!(template.pkix(&[&public[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn a_certificate_ends_where_it_says() {
        let filled = [&[0x30, 0x82, 0, 2, 7, 7][..], &[0xff; 9]].concat();
        assert_eq!(certificate_in(&filled), Some(&filled[..6]));
        assert_eq!(certificate_in(&filled[..5]), None);
        assert_eq!(certificate_in(&[0xff; 9]), None);
    }
}
