//! Decryption of assertions (XML-Enc 1.1). The content key is wrapped with RSA-OAEP. The content is encrypted with
//! AES-GCM, or with AES-CBC if the identity provider signed the ciphertext.
//!
//! AES-CBC does not protect the integrity of the ciphertext, so a padding oracle could reveal an assertion. CBC
//! ciphertexts are therefore decrypted only if a verified signature covers them, which prevents modified ones.

use aws_lc_rs::{
    aead::{self, AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{
        self, AES_128, AES_192, AES_256, AES_CBC_IV_LEN, DecryptionContext,
        PaddedBlockDecryptingKey, UnboundCipherKey,
    },
    iv::FixedLength,
};
use zeroize::Zeroizing;

use super::{
    base64,
    error::{Error, ErrorKind, quoted},
    keys::{DecryptionKey, Oaep},
    names::{ASSERTION, DSIG, XENC, XENC11},
    xml::{self, Element, Limits},
};

/// Maximum number of wrapped keys. Each one costs an RSA private key operation.
const WRAPPED_KEYS: usize = 4;
const NONCE: usize = 12;

/// Authenticity of a ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authenticity {
    /// A verified signature of the identity provider covers the ciphertext.
    Signed,
    /// No signature covers the ciphertext, so the encryption itself must detect changes.
    Unknown,
}

/// Decrypts a `saml:EncryptedAssertion`.
///
/// # Errors
/// Returns an error of [`ErrorKind::Encryption`] if an algorithm is not accepted or no key decrypts the assertion.
pub(super) fn decrypt(
    encrypted: &Element,
    authenticity: Authenticity,
    keys: &[DecryptionKey],
    limits: Limits,
) -> Result<Element, Error> {
    let data = encrypted.required_child(XENC, "EncryptedData")?;
    match data.attribute("Type") {
        None | Some("http://www.w3.org/2001/04/xmlenc#Element") => {}
        Some(other) => {
            return Err(refusal(format!(
                "EncryptedData is of the type {}, not an element",
                quoted(other)
            )));
        }
    }
    let method = data.required_child(XENC, "EncryptionMethod")?;
    let content = Content::named(method.required_attribute("Algorithm")?, authenticity)?;
    let ciphertext = cipher_value(data)?;
    if keys.is_empty() {
        return Err(refusal(
            "the assertion is encrypted, but no key to decrypt it is available",
        ));
    }
    let key = content_key(encrypted, data, keys, content.key_length())?;
    let plain = content.open(&key, &ciphertext)?;
    let text =
        std::str::from_utf8(&plain).map_err(|_| refusal("the decrypted content is not UTF-8"))?;
    let element = xml::parse_within(text, limits, &encrypted.scope)?;
    if !element.is(ASSERTION, "Assertion") {
        return Err(refusal(format!(
            "the decrypted content is {}, not an assertion",
            quoted(&element.local)
        )));
    }
    Ok(element)
}

/// Content encryption algorithm.
#[derive(Debug, Clone, Copy)]
enum Content {
    Gcm(&'static aead::Algorithm),
    Cbc {
        algorithm: &'static cipher::Algorithm,
        /// Key length in bytes.
        length: usize,
    },
}

impl Content {
    fn named(uri: &str, authenticity: Authenticity) -> Result<Self, Error> {
        let cbc = |algorithm, length| match authenticity {
            Authenticity::Signed => Ok(Self::Cbc { algorithm, length }),
            Authenticity::Unknown => Err(refusal(format!(
                "{} is accepted only in a signed response, because it does not detect changes of the encrypted \
                 content; let the identity provider sign the response, or encrypt with AES-GCM",
                quoted(uri)
            ))),
        };
        match uri {
            "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Ok(Self::Gcm(&AES_128_GCM)),
            "http://www.w3.org/2009/xmlenc11#aes192-gcm" => Ok(Self::Gcm(&AES_192_GCM)),
            "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Ok(Self::Gcm(&AES_256_GCM)),
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => cbc(&AES_128, 16),
            "http://www.w3.org/2001/04/xmlenc#aes192-cbc" => cbc(&AES_192, 24),
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => cbc(&AES_256, 32),
            _ => Err(refusal(format!(
                "the encryption {} is not accepted; AES-GCM is, and AES-CBC in a signed response",
                quoted(uri)
            ))),
        }
    }

    /// Returns the key length in bytes.
    fn key_length(self) -> usize {
        match self {
            Self::Gcm(algorithm) => algorithm.key_len(),
            Self::Cbc { length, .. } => length,
        }
    }

    fn open(self, key: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let opened = match self {
            Self::Gcm(algorithm) => open_gcm(algorithm, key, ciphertext),
            Self::Cbc { algorithm, .. } => open_cbc(algorithm, key, ciphertext),
        };
        opened.ok_or_else(|| refusal("the encrypted assertion was changed or is cut off"))
    }
}

/// Unwraps the content key. The wrapped keys are in `EncryptedData` or next to it.
fn content_key(
    encrypted: &Element,
    data: &Element,
    keys: &[DecryptionKey],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let inside = data
        .children_named(DSIG, "KeyInfo")
        .flat_map(|info| info.children_named(XENC, "EncryptedKey"));
    let wrapped: Vec<&Element> = inside
        .chain(encrypted.children_named(XENC, "EncryptedKey"))
        .collect();
    if wrapped.is_empty() || wrapped.len() > WRAPPED_KEYS {
        return Err(refusal(format!(
            "the assertion has {} wrapped keys; 1 to {WRAPPED_KEYS} are accepted",
            wrapped.len()
        )));
    }
    let mut refused = None;
    for element in wrapped {
        let wrapping = match Wrapping::read(element) {
            Ok(wrapping) => wrapping,
            Err(error) => {
                refused = Some(error);
                continue;
            }
        };
        for key in keys {
            let label = (!wrapping.label.is_empty()).then_some(wrapping.label.as_slice());
            if let Some(plain) = key.unwrap(wrapping.oaep, &wrapping.ciphertext, label)
                && plain.len() == length
            {
                return Ok(plain);
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        refusal("the assertion is encrypted for another key than those of the service provider")
    }))
}

struct Wrapping {
    oaep: Oaep,
    label: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Wrapping {
    fn read(key: &Element) -> Result<Self, Error> {
        let method = key.required_child(XENC, "EncryptionMethod")?;
        let digest = method
            .child(DSIG, "DigestMethod")?
            .map(|digest| digest.required_attribute("Algorithm"))
            .transpose()?
            .unwrap_or("http://www.w3.org/2000/09/xmldsig#sha1");
        let mask = method
            .child(XENC11, "MGF")?
            .map(|mask| mask.required_attribute("Algorithm"))
            .transpose()?
            .unwrap_or("http://www.w3.org/2009/xmlenc11#mgf1sha1");
        let label = match method.child(XENC, "OAEPparams")? {
            Some(label) => base64::decode("OAEPparams", &label.text()?)?,
            None => Vec::new(),
        };
        Ok(Self {
            oaep: oaep(method.required_attribute("Algorithm")?, digest, mask)?,
            label,
            ciphertext: cipher_value(key)?,
        })
    }
}

fn oaep(algorithm: &str, digest: &str, mask: &str) -> Result<Oaep, Error> {
    const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";
    const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
    match (algorithm, digest, mask) {
        ("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", SHA1, _)
        | (
            "http://www.w3.org/2009/xmlenc11#rsa-oaep",
            SHA1,
            "http://www.w3.org/2009/xmlenc11#mgf1sha1",
        ) => Ok(Oaep::Sha1),
        (
            "http://www.w3.org/2009/xmlenc11#rsa-oaep",
            SHA256,
            "http://www.w3.org/2009/xmlenc11#mgf1sha256",
        ) => Ok(Oaep::Sha256),
        ("http://www.w3.org/2001/04/xmlenc#rsa-1_5", _, _) => Err(refusal(
            "keys wrapped by RSA with PKCS#1 1.5 are refused; let the identity provider use RSA-OAEP",
        )),
        _ => Err(refusal(format!(
            "a key is wrapped by {} with the digest {} and the mask generation {}: RSA-OAEP with SHA-1 or with \
             SHA-256 for both is accepted",
            quoted(algorithm),
            quoted(digest),
            quoted(mask)
        ))),
    }
}

fn cipher_value(element: &Element) -> Result<Vec<u8>, Error> {
    let value = element
        .required_child(XENC, "CipherData")?
        .required_child(XENC, "CipherValue")?;
    base64::decode("CipherValue", &value.text()?)
}

/// Decrypts a nonce, ciphertext and tag (XML-Enc 1.1 §5.2.4).
fn open_gcm(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = ciphertext.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = key
        .open_in_place(nonce, Aad::empty(), &mut plain)
        .ok()?
        .len();
    plain.truncate(length);
    Some(plain)
}

/// Decrypts an initialization vector and blocks. Only the last byte of the padding is defined (XML-Enc 1.1 §5.2.3).
fn open_cbc(
    algorithm: &'static cipher::Algorithm,
    key: &[u8],
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (vector, sealed) = ciphertext.split_at_checked(AES_CBC_IV_LEN)?;
    if sealed.is_empty() || !sealed.len().is_multiple_of(algorithm.block_len()) {
        return None;
    }
    let context = DecryptionContext::Iv128(FixedLength::try_from(vector).ok()?);
    let key = UnboundCipherKey::new(algorithm, key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_iso10126(key).ok()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = key.decrypt(&mut plain, context).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn refusal(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Encryption, reason)
}
