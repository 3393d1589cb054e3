//! Keys of the authentication caches.

use aws_lc_rs::digest::{Context, SHA256};
use domain::{id::Uid, token::Unverified};

/// A credential presented by a caller, after its form was checked.
///
/// A caller cannot create a variant from arbitrary text. An access token or a secret is decoded first, and a portal
/// cookie is opened first. The cookie of a Service is looked up by its whole sealed text together with the host.
pub(crate) enum Presented<'a> {
    /// An access token in its canonical form.
    AccessToken(&'a Unverified),
    /// The secret of a Credential in its canonical form.
    CredentialSecret(&'a Unverified),
    /// The sealed cookie that a browser sent to the host of a Service.
    ServiceCookie { host: &'a str, text: &'a str },
    /// The Session and the token id of an opened portal cookie.
    PortalSession { session: Uid, token_id: Uid },
}

/// A digest of one [`Presented`]. Digests of different variants never match.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey([u8; 32]);

impl Presented<'_> {
    /// Returns the SHA-256 over a tag for the variant and its fields, each preceded by its length.
    pub(crate) fn cache_key(&self) -> CacheKey {
        match self {
            Self::AccessToken(token) => digest(1, [token.canonical_bytes(), &[]]),
            Self::CredentialSecret(token) => digest(2, [token.canonical_bytes(), &[]]),
            Self::ServiceCookie { host, text } => digest(3, [host.as_bytes(), text.as_bytes()]),
            Self::PortalSession { session, token_id } => {
                digest(4, [session.as_bytes(), token_id.as_bytes()])
            }
        }
    }
}

fn digest(tag: u8, fields: [&[u8]; 2]) -> CacheKey {
    let mut context = Context::new(&SHA256);
    context.update(&[tag]);
    for field in fields {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(field);
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    CacheKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_proofs_differ_s01() {
        let uid = |byte: u8| Uid::from_bytes(&[byte; 16]).unwrap();
        let cookie = |host, text| Presented::ServiceCookie { host, text }.cache_key();
        let portal = |session, token_id| Presented::PortalSession { session, token_id }.cache_key();
        let keys = [
            cookie("a", "bc"),
            cookie("ab", "c"),
            cookie("abc", ""),
            cookie("", "abc"),
            portal(uid(1), uid(2)),
            portal(uid(2), uid(1)),
            cookie("\u{1}", "\u{2}"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "key {index}");
        }
        let same_bytes = cookie(
            std::str::from_utf8(&[1; 16]).unwrap(),
            std::str::from_utf8(&[2; 16]).unwrap(),
        );
        assert!(same_bytes != portal(uid(1), uid(2)));
    }
}
