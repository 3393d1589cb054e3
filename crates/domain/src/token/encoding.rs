//! A strict decoder and encoder of the one canonical protobuf encoding of `auth.TokenT0`.
//!
//! A general protobuf decoder accepts many encodings of one message: fields in any order or repeated, overlong varints,
//! unknown fields. One token would then have many spellings, which would defeat every check keyed on its text.

use super::{Claims, TokenError, TokenType, key::SIGNATURE_BYTES};
use crate::{clock::UnixMillis, id::Uid};

/// The number of bytes in 220 characters of base64.
pub(super) const MAX_BYTES: usize = 165;

const VERSION: u8 = 1;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// `(field number << 3) | wire type`. Wire type 0 is a varint; 2 is a length followed by that many bytes.
mod tag {
    pub(super) const SIGNATURE: u64 = 1 << 3 | 2;
    pub(super) const CONTENT: u64 = 2 << 3 | 2;
    pub(super) const TYPE: u64 = 1 << 3;
    pub(super) const KEY_ID: u64 = 2 << 3 | 2;
    pub(super) const SUBJECT: u64 = 3 << 3 | 2;
    pub(super) const TOKEN_ID: u64 = 4 << 3 | 2;
    pub(super) const EXPIRES_AT: u64 = 5 << 3 | 2;
    pub(super) const SECONDS: u64 = 1 << 3;
    pub(super) const CREDENTIAL_VERSION: u64 = 100 << 3;
    pub(super) const AUDIENCE: u64 = 101 << 3 | 2;
}

/// A well-formed token.
pub(super) struct Envelope {
    signature: [u8; SIGNATURE_BYTES],
    bytes: [u8; MAX_BYTES],
    content: std::ops::Range<usize>,
    claims: Claims,
}

impl Envelope {
    /// Decodes the first `length` of `bytes`.
    pub(super) fn read(bytes: [u8; MAX_BYTES], length: usize) -> Result<Self, TokenError> {
        let all = bytes.get(..length).ok_or(TokenError::Malformed)?;
        let (signature, content) = split(all).ok_or(TokenError::Malformed)?;
        let claims = claims(content).ok_or(TokenError::Malformed)?;
        // Re-encode and compare. The decoder accepts only canonical input; this check holds even if it has a bug.
        if self::content(&claims, claims.key_id) != content || envelope(&signature, content) != all
        {
            return Err(TokenError::Malformed);
        }
        let content = length - content.len()..length;
        Ok(Self {
            signature,
            bytes,
            content,
            claims,
        })
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(super) fn into_claims(self) -> Claims {
        self.claims
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.content.end).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the content as received.
    pub(super) fn signed(&self) -> &[u8] {
        self.bytes.get(self.content.clone()).unwrap_or_default()
    }
}

/// Encodes the content to sign, with `key_id` as its key id.
pub(super) fn content(claims: &Claims, key_id: Uid) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_BYTES);
    put_number(&mut out, tag::TYPE, claims.token_type.to_proto() as u64);
    put_bytes(&mut out, tag::KEY_ID, key_id.as_bytes());
    put_bytes(&mut out, tag::SUBJECT, claims.subject.as_bytes());
    put_bytes(&mut out, tag::TOKEN_ID, claims.token_id.as_bytes());
    if let Some(expires_at) = claims.expires_at {
        let seconds = u64::try_from(expires_at.seconds())
            .unwrap_or(0)
            .min(LAST_SECOND);
        let mut timestamp = Vec::with_capacity(8);
        put_number(&mut timestamp, tag::SECONDS, seconds);
        put_bytes(&mut out, tag::EXPIRES_AT, &timestamp);
    }
    put_number(
        &mut out,
        tag::CREDENTIAL_VERSION,
        u64::from(claims.credential_version),
    );
    put_bytes(&mut out, tag::AUDIENCE, claims.audience.as_bytes());
    out
}

/// Encodes the whole token, before base64.
pub(super) fn envelope(signature: &[u8; SIGNATURE_BYTES], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_BYTES);
    out.push(VERSION);
    put_bytes(&mut out, tag::SIGNATURE, signature);
    put_bytes(&mut out, tag::CONTENT, content);
    out
}

fn split(bytes: &[u8]) -> Option<([u8; SIGNATURE_BYTES], &[u8])> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut reader = Reader(rest);
    let signature = reader.bytes(tag::SIGNATURE)?.try_into().ok()?;
    let content = reader.bytes(tag::CONTENT)?;
    reader.0.is_empty().then_some((signature, content))
}

fn claims(content: &[u8]) -> Option<Claims> {
    let mut reader = Reader(content);
    let token_type = TokenType::from_proto(i32::try_from(reader.number(tag::TYPE)?).ok()?)?;
    let key_id = reader.uid(tag::KEY_ID)?;
    let subject = reader.uid(tag::SUBJECT)?;
    let token_id = reader.uid(tag::TOKEN_ID)?;
    let expires_at = if reader.is_at(tag::EXPIRES_AT) {
        Some(expires_at(reader.bytes(tag::EXPIRES_AT)?)?)
    } else {
        None
    };
    let credential_version = if reader.is_at(tag::CREDENTIAL_VERSION) {
        u32::try_from(reader.number(tag::CREDENTIAL_VERSION)?).ok()?
    } else {
        0
    };
    let audience = reader.uid(tag::AUDIENCE)?;
    reader.0.is_empty().then_some(Claims {
        token_type,
        key_id,
        subject,
        token_id,
        expires_at,
        credential_version,
        audience,
    })
}

fn expires_at(timestamp: &[u8]) -> Option<UnixMillis> {
    let mut reader = Reader(timestamp);
    let seconds = if timestamp.is_empty() {
        0
    } else {
        reader.number(tag::SECONDS)?
    };
    if !reader.0.is_empty() || seconds > LAST_SECOND {
        return None;
    }
    Some(UnixMillis::from_seconds(i64::try_from(seconds).ok()?))
}

/// Decodes fields in the order in which they are requested. Rejects a field with its default value, which the encoder
/// never writes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_at(&self, tag: u64) -> bool {
        Reader(self.0).varint() == Some(tag)
    }

    fn number(&mut self, tag: u64) -> Option<u64> {
        if self.varint()? != tag {
            return None;
        }
        self.varint().filter(|value| *value != 0)
    }

    fn bytes(&mut self, tag: u64) -> Option<&'a [u8]> {
        if self.varint()? != tag {
            return None;
        }
        let length = usize::try_from(self.varint()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn uid(&mut self, tag: u64) -> Option<Uid> {
        Uid::from_bytes(self.bytes(tag)?).ok()
    }

    /// Reads a varint, only in its shortest form.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return (bits != 0 || shift == 0).then_some(value);
            }
        }
        None
    }
}

fn put_number(out: &mut Vec<u8>, tag: u64, value: u64) {
    if value != 0 {
        put_varint(out, tag);
        put_varint(out, value);
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    put_varint(out, tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[allow(clippy::cast_possible_truncation, reason = "masked to seven bits")]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
