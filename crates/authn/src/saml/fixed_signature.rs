//! ECDSA signatures as XML has them, both integers side by side (RFC 9231 §2.3.6), and as DER.

/// `r ‖ s` of `width` octets each as `SEQUENCE { INTEGER, INTEGER }`. None where the length is another.
pub(super) fn to_der(fixed: &[u8], width: usize) -> Option<Vec<u8>> {
    if fixed.len() != 2 * width {
        return None;
    }
    let (r, s) = fixed.split_at(width);
    let mut content = integer(r)?;
    content.extend(integer(s)?);
    let mut der = vec![0x30];
    // Two integers of at most 67 octets with their heads: 138 octets.
    if content.len() > 127 {
        der.push(0x81);
    }
    der.push(u8::try_from(content.len()).ok()?);
    der.extend(content);
    Some(der)
}

fn integer(octets: &[u8]) -> Option<Vec<u8>> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    // At least one octet stays.
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
