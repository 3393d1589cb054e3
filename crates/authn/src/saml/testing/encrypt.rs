//! Encryption of assertions.

use aws_lc_rs::{
    aead::{self, AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{self, AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    error::Unspecified,
    iv::FixedLength,
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
    },
};
use x509_parser::parse_x509_certificate;

use crate::saml::{Certificate, Error, ErrorKind, base64};

/// Content encryption of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// AES-128-CBC.
    Aes128Cbc,
    /// AES-256-CBC.
    Aes256Cbc,
}

/// Wrapping of the content key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// `rsa-oaep-mgf1p` with SHA-1.
    OaepSha1,
    /// `rsa-oaep` with SHA-256.
    OaepSha256,
    /// Declared as PKCS#1 1.5.
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
    let (length, uri) = match content {
        Content::Aes128Gcm => (16, "http://www.w3.org/2009/xmlenc11#aes128-gcm"),
        Content::Aes256Gcm => (32, "http://www.w3.org/2009/xmlenc11#aes256-gcm"),
        Content::Aes128Cbc => (16, "http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        Content::Aes256Cbc => (32, "http://www.w3.org/2001/04/xmlenc#aes256-cbc"),
    };
    let key = vec![7; length];
    let ciphertext = match content {
        Content::Aes128Gcm => gcm(&AES_128_GCM, &key, assertion),
        Content::Aes256Gcm => gcm(&AES_256_GCM, &key, assertion),
        Content::Aes128Cbc => cbc(&AES_128, &key, assertion),
        Content::Aes256Cbc => cbc(&AES_256, &key, assertion),
    };
    let ciphertext = ciphertext.map_err(|_| failed())?;

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

fn gcm(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    plain: &str,
) -> Result<Vec<u8>, Unspecified> {
    let nonce = [9; 12];
    let mut sealed = plain.as_bytes().to_vec();
    LessSafeKey::new(UnboundKey::new(algorithm, key)?).seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut sealed,
    )?;
    Ok([&nonce[..], &sealed].concat())
}

/// Encrypts with the padding of XML-Enc: the last byte is the padding length, the others are arbitrary.
fn cbc(
    algorithm: &'static cipher::Algorithm,
    key: &[u8],
    plain: &str,
) -> Result<Vec<u8>, Unspecified> {
    let vector = [9; 16];
    let mut blocks = plain.as_bytes().to_vec();
    let padding = 16 - blocks.len() % 16;
    blocks.extend((1..padding).map(|at| u8::try_from(at * 37 % 256).unwrap_or_default()));
    blocks.push(u8::try_from(padding).map_err(|_| Unspecified)?);
    let key = EncryptingKey::cbc(UnboundCipherKey::new(algorithm, key)?)?;
    key.less_safe_encrypt(
        &mut blocks,
        EncryptionContext::Iv128(FixedLength::from(&vector)),
    )?;
    Ok([&vector[..], &blocks].concat())
}
