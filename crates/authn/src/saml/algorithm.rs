//! Accepted digest and signature algorithms, with their RFC 9231 identifiers. All others are rejected.

use aws_lc_rs::digest;

use super::error::{Error, quoted};

/// A SHA-2 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// A signature algorithm. The type of the key restricts the possible ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    RsaPkcs1(Digest),
    /// The digest is also used for MGF1 and the salt length (RFC 9231 §2.3.10).
    RsaPss(Digest),
    /// ECDSA on the curve of the key.
    Ecdsa(Digest),
}

const DIGESTS: [(&str, Digest); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", Digest::Sha256),
    (
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        Digest::Sha384,
    ),
    ("http://www.w3.org/2001/04/xmlenc#sha512", Digest::Sha512),
];

const SIGNATURES: [(&str, SignatureAlgorithm); 9] = [
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
        SignatureAlgorithm::RsaPkcs1(Digest::Sha384),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        SignatureAlgorithm::RsaPkcs1(Digest::Sha512),
    ),
    (
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
        SignatureAlgorithm::RsaPss(Digest::Sha256),
    ),
    (
        "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
        SignatureAlgorithm::RsaPss(Digest::Sha384),
    ),
    (
        "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
        SignatureAlgorithm::RsaPss(Digest::Sha512),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
        SignatureAlgorithm::Ecdsa(Digest::Sha256),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
        SignatureAlgorithm::Ecdsa(Digest::Sha384),
    ),
    (
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
        SignatureAlgorithm::Ecdsa(Digest::Sha512),
    ),
];

impl Digest {
    pub(super) fn from_uri(uri: &str) -> Result<Self, Error> {
        find(&DIGESTS, uri).ok_or_else(|| refusal("digest", uri))
    }

    pub(super) fn uri(self) -> &'static str {
        uri_of(&DIGESTS, &self)
    }

    pub(super) fn of(self, octets: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, octets).as_ref().to_vec()
    }
}

impl SignatureAlgorithm {
    pub(super) fn from_uri(uri: &str) -> Result<Self, Error> {
        find(&SIGNATURES, uri).ok_or_else(|| refusal("signature", uri))
    }

    pub(super) fn uri(self) -> &'static str {
        uri_of(&SIGNATURES, &self)
    }

    pub(super) fn digest(self) -> Digest {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) => digest,
        }
    }
}

fn find<T: Copy>(table: &[(&str, T)], uri: &str) -> Option<T> {
    table
        .iter()
        .find(|(name, _)| *name == uri)
        .map(|(_, algorithm)| *algorithm)
}

fn uri_of<T: PartialEq>(table: &[(&'static str, T)], algorithm: &T) -> &'static str {
    table
        .iter()
        .find(|(_, listed)| listed == algorithm)
        .map_or("", |(uri, _)| uri)
}

fn refusal(what: &str, uri: &str) -> Error {
    let lower = uri.to_ascii_lowercase();
    let why = if lower.contains("hmac") {
        "a signature with a shared secret proves nothing if the key is public"
    } else if lower.ends_with("sha1") || lower.contains("md5") {
        "SHA-1 and MD5 are refused; let the identity provider sign with SHA-256"
    } else {
        "it is not an accepted algorithm"
    };
    Error::signature(format!("the {what} algorithm {}: {why}", quoted(uri)))
}
