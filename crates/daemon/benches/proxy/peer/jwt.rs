//! A JWT for the peer that verifies one (RFC 7519, RFC 8037).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_eddsa_type};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// A token with its verification key.
pub(crate) struct Issued {
    /// In compact form.
    pub(crate) token: String,
    /// A JWK Set.
    pub(crate) key_set: String,
}

/// Issues a token with subject and issuer `bench`, signed with Ed25519 like our own tokens.
pub(crate) fn issue() -> Issued {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"1","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"bench","sub":"bench","exp":4102444800}"#);
    let content = format!("{header}.{claims}");
    let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(key.serialize_der()))
        .unwrap()
        .choose_scheme(&[SignatureScheme::ED25519])
        .unwrap();
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(content.as_bytes()).unwrap());
    let public = URL_SAFE_NO_PAD.encode(key.der_bytes());
    Issued {
        token: format!("{content}.{signature}"),
        key_set: format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"1","x":"{public}"}}]}}"#
        ),
    }
}
