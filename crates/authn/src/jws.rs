//! Parsing of untrusted JSON Web Signatures in compact form (RFC 7515).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Maximum length of a token, in bytes.
pub const MAX_LENGTH: usize = 8192;

const LONGEST_KEY_ID: usize = 512;

/// Signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1). Only asymmetric ones: without `none` and HMAC, a public key
/// cannot be used as a shared secret.
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

/// Verification algorithm for a key of the right type.
pub(crate) enum Verification {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// Parses an `alg` value.
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
            // RFC 9864 names the algorithm after its curve.
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

/// Reasons why a token is rejected before verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Too long, or not three base64url parts with JSON objects.
    #[error("not a JSON Web Signature in compact form")]
    Form,
    /// `alg` is not one of [`Algorithm`].
    #[error("signed by an algorithm that is not accepted")]
    Algorithm,
    /// The header has critical extensions (RFC 7515 §4.1.11), none of which is supported.
    #[error("has critical extensions, which are not supported")]
    Critical,
    /// `typ` names another token type (RFC 8725 §3.11).
    #[error("has another token type")]
    Type,
}

/// A parsed token whose signature is not verified.
pub struct Unverified<'a> {
    /// Algorithm from the header.
    pub algorithm: Algorithm,
    /// Key id from the header, if present.
    pub key_id: Option<String>,
    /// Claims of the payload.
    pub claims: Map<String, Value>,
    /// Signed bytes.
    pub signed: &'a [u8],
    /// Signature.
    pub signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Parses the compact form. Only canonical base64url is accepted, so each token has one spelling. The header fields
    /// `jku`, `jwk`, `x5u` and `x5c` are ignored: only keys that the issuer publishes are used.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the token must not be verified.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_as(text, is_accepted)
    }

    /// Parses the compact form. `is_accepted` decides on the token type (`typ`) in lower case, without `application/`.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the token must not be verified.
    pub fn parse_as(text: &'a str, is_accepted: fn(&str) -> bool) -> Result<Self, Malformed> {
        if text.len() > MAX_LENGTH || !text.is_ascii() {
            return Err(Malformed::Form);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Form);
        let header = strict_json::object(&decode(header)?).map_err(|_| Malformed::Form)?;
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
            claims: strict_json::object(&decode(payload)?).map_err(|_| Malformed::Form)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

/// Normalizes a media type in `typ` (RFC 7515 §4.1.9).
fn short(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(rest) => rest.to_owned(),
        None => typ,
    }
}

/// Returns true for identity tokens, access tokens and client assertions. Other tokens that the issuer signs with the
/// same key are rejected.
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
