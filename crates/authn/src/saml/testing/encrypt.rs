//! Encryption as identity providers do it.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
    },
};
use x509_parser::parse_x509_certificate;

use crate::saml::{Certificate, Error, ErrorKind, base64};

/// How the assertion is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// Says that it is AES-256-CBC.
    Aes256Cbc,
}

/// How its key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// `rsa-oaep-mgf1p`: SHA-1 for both.
    OaepSha1,
    /// `rsa-oaep` with SHA-256 for both.
    OaepSha256,
    /// Says that it is PKCS#1 1.5.
    Pkcs1,
}

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

pub(super) fn assertion(
    assertion: &str,
    certificate: &Certificate,
    content: Content,
    wrap: Wrap,
) -> Result<String, Error> {
    let failed = || Error::new(ErrorKind::Encryption, "encrypting failed");
    let (algorithm, uri) = match content {
        Content::Aes128Gcm => (&AES_128_GCM, "http://www.w3.org/2009/xmlenc11#aes128-gcm"),
        Content::Aes256Gcm => (&AES_256_GCM, "http://www.w3.org/2009/xmlenc11#aes256-gcm"),
        Content::Aes256Cbc => (&AES_256_GCM, "http://www.w3.org/2001/04/xmlenc#aes256-cbc"),
    };
    let key = vec![7; algorithm.key_len()];
    let nonce = [9; 12];
    let mut sealed = assertion.as_bytes().to_vec();
    LessSafeKey::new(UnboundKey::new(algorithm, &key).map_err(|_| failed())?)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .map_err(|_| failed())?;
    let mut ciphertext = nonce.to_vec();
    ciphertext.extend(sealed);

    let (oaep, method) = match wrap {
        Wrap::OaepSha1 => (
            &OAEP_SHA1_MGF1SHA1,
            "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/>".to_owned(),
        ),
        Wrap::OaepSha256 => (
            &OAEP_SHA256_MGF1SHA256,
            format!(
                "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#rsa-oaep\"><ds:DigestMethod \
                 xmlns:ds=\"{DSIG}\" Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><xenc11:MGF \
                 xmlns:xenc11=\"http://www.w3.org/2009/xmlenc11#\" \
                 Algorithm=\"http://www.w3.org/2009/xmlenc11#mgf1sha256\"/></xenc:EncryptionMethod>"
            ),
        ),
        Wrap::Pkcs1 => (
            &OAEP_SHA1_MGF1SHA1,
            "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-1_5\"/>".to_owned(),
        ),
    };
    let (_, parsed) = parse_x509_certificate(certificate.der()).map_err(|_| failed())?;
    let public = PublicEncryptingKey::from_der(parsed.public_key().raw).map_err(|_| failed())?;
    let public = OaepPublicEncryptingKey::new(public).map_err(|_| failed())?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    let wrapped = public
        .encrypt(oaep, &key, &mut wrapped, None)
        .map_err(|_| failed())?;
    Ok(format!(
        "<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\" \
         Type=\"http://www.w3.org/2001/04/xmlenc#Element\"><xenc:EncryptionMethod Algorithm=\"{uri}\"/>\
         <ds:KeyInfo xmlns:ds=\"{DSIG}\"><xenc:EncryptedKey>{method}<xenc:CipherData><xenc:CipherValue>{}\
         </xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{}\
         </xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>",
        base64::encode(wrapped),
        base64::encode(&ciphertext),
    ))
}
