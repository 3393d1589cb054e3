//! JSON Web Signatures in compact form (RFC 7515), as foreign parties make them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::json;

/// The longest that is looked at, in bytes.
pub const MAX_LENGTH: usize = 8192;

const LONGEST_KEY_ID: usize = 512;

/// What signs (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric algorithms alone. `none` and HMAC have no place here, so a
/// public key can never be taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
}

/// How a key of the right type verifies.
pub(crate) enum Verification {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// By its name in `alg`.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            // RFC 9864 gives the curve its own name.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    pub(crate) fn verification(self) -> Verification {
        match self {
            Self::Rs256 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Verification::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Verification::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Verification::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Verification::Point(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Verification::Point(&ECDSA_P384_SHA384_FIXED),
            Self::Es512 => Verification::Point(&ECDSA_P521_SHA512_FIXED),
            Self::EdDsa => Verification::Point(&ED25519),
        }
    }
}

/// Why a text is no signed object that would be looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Too long, or not three parts of base64url that hold JSON objects.
    #[error("not a JSON Web Signature in compact form")]
    Form,
    /// `alg` is none of [`Algorithm`].
    #[error("signed by an algorithm that is not accepted")]
    Algorithm,
    /// It has extensions that must be understood (RFC 7515 §4.1.11).
    #[error("has critical extensions, of which none is understood")]
    Critical,
    /// It says of itself that it is something else (RFC 8725 §3.11).
    #[error("is a token of another type")]
    Type,
}

/// A signed object of which nothing is proved yet.
pub struct Unverified<'a> {
    /// What signs it, as it says.
    pub algorithm: Algorithm,
    /// Which key signs it, as it says.
    pub key_id: Option<String>,
    /// Its content.
    pub claims: Map<String, Value>,
    /// The octets that are signed.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads the compact form: one spelling of each object is accepted. `jku`, `jwk`, `x5u` and `x5c` are never read:
    /// keys come from where the issuer publishes them.
    ///
    /// # Errors
    /// Where it is not worth verifying.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_as(text, is_accepted)
    }

    /// As [`Self::parse`], where `is_accepted` says of which type (`typ`) it may be.
    ///
    /// # Errors
    /// As there.
    pub fn parse_as(text: &'a str, is_accepted: fn(&str) -> bool) -> Result<Self, Malformed> {
        if text.len() > MAX_LENGTH || !text.is_ascii() {
            return Err(Malformed::Form);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Form);
        let header = json::object(&decode(header)?).map_err(|_| Malformed::Form)?;
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm
            .and_then(Algorithm::of)
            .ok_or(Malformed::Algorithm)?;
        if header.contains_key("crit") {
            return Err(Malformed::Critical);
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) if is_accepted(&short(typ)) => {}
            Some(_) => return Err(Malformed::Type),
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if !id.is_empty() && id.len() <= LONGEST_KEY_ID => {
                Some(id.clone())
            }
            Some(_) => return Err(Malformed::Form),
        };
        Ok(Self {
            algorithm,
            key_id,
            claims: json::object(&decode(payload)?).map_err(|_| Malformed::Form)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

/// A media type as `typ` has it (RFC 7515 §4.1.9).
fn short(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(rest) => rest.to_owned(),
        None => typ,
    }
}

/// Identity and access tokens, and assertions of clients. Not what a party signs for another purpose by the same key.
fn is_accepted(typ: &str) -> bool {
    matches!(typ, "jwt" | "at+jwt" | "client-authentication+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(payload))
    }

    fn refusal(header: &str) -> Malformed {
        Unverified::parse(&token(header, "{}")).err().unwrap()
    }

    #[test]
    fn a08_only_asymmetric_algorithms_are_accepted() {
        for algorithm in [
            "none", "None", "", "HS256", "HS512", "rs256", "RS1", "dir", "ES256K",
        ] {
            let header = format!(r#"{{"alg": "{algorithm}"}}"#);
            assert_eq!(refusal(&header), Malformed::Algorithm, "{algorithm}");
        }
        assert_eq!(refusal("{}"), Malformed::Algorithm);
        assert_eq!(refusal(r#"{"alg": ["RS256"]}"#), Malformed::Algorithm);
        assert_eq!(
            refusal(r#"{"alg": "none", "alg": "RS256"}"#),
            Malformed::Form
        );
    }

    #[test]
    fn critical_extensions_and_other_types_are_refused() {
        for header in [
            r#"{"alg": "RS256", "crit": ["exp"]}"#,
            r#"{"alg": "RS256", "crit": []}"#,
            r#"{"alg": "RS256", "b64": false, "crit": ["b64"]}"#,
        ] {
            assert_eq!(refusal(header), Malformed::Critical, "{header}");
        }
        for typ in [
            "logout+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "application/kb+jwt",
        ] {
            let header = format!(r#"{{"alg": "RS256", "typ": "{typ}"}}"#);
            assert_eq!(refusal(&header), Malformed::Type, "{typ}");
        }
    }

    #[test]
    fn each_object_has_one_spelling() {
        let good = token(r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, "{}");
        assert!(Unverified::parse(&good).is_ok());
        let with = |text: String| Unverified::parse(&text).err();
        assert_eq!(with(good.replace(".c2ln", ".c2ln=")), Some(Malformed::Form));
        assert_eq!(with(good.replace(".c2ln", ".c2lo.")), Some(Malformed::Form));
        assert_eq!(with(good.replace(".c2ln", ".c2l")), Some(Malformed::Form));
        assert_eq!(with(good.replace(".c2ln", "")), Some(Malformed::Form));
        assert_eq!(with(format!("{good}\n")), Some(Malformed::Form));
        assert_eq!(with(format!(" {good}")), Some(Malformed::Form));
        assert_eq!(with("a".repeat(MAX_LENGTH + 1)), Some(Malformed::Form));
        assert_eq!(refusal(r#"{"alg":"ES256","kid":""}"#), Malformed::Form);
        assert_eq!(refusal(r#"{"alg":"ES256","kid":7}"#), Malformed::Form);
    }
}
