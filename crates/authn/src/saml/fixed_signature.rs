//! Conversion of ECDSA signatures from the fixed-length form of XML (RFC 9231 §2.3.6) to DER.

/// Converts `r ‖ s` with `width` bytes each to `SEQUENCE { INTEGER, INTEGER }`. Returns `None` if the length differs.
pub(super) fn to_der(fixed: &[u8], width: usize) -> Option<Vec<u8>> {
    if fixed.len() != 2 * width {
        return None;
    }
    let (r, s) = fixed.split_at(width);
    let mut content = integer(r)?;
    content.extend(integer(s)?);
    let mut der = vec![0x30];
    // The content has at most 138 bytes: two integers of 67 bytes with their headers.
    if content.len() > 127 {
        der.push(0x81);
    }
    der.push(u8::try_from(content.len()).ok()?);
    der.extend(content);
    Some(der)
}

fn integer(octets: &[u8]) -> Option<Vec<u8>> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    // Keep at least one byte.
    let digits = octets.get(zeros.min(octets.len().checked_sub(1)?)..)?;
    let mut der = vec![0x02];
    let sign = digits.first().is_some_and(|first| *first >= 0x80);
    der.push(u8::try_from(digits.len() + usize::from(sign)).ok()?);
    if sign {
        der.push(0);
    }
    der.extend_from_slice(digits);
    Some(der)
}
