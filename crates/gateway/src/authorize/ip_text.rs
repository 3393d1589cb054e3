//! IP addresses as text, without an allocation.

use std::{fmt::Write, net::IpAddr};

/// A buffer for the text of an address, which has at most 39 characters.
pub(super) struct IpText {
    bytes: [u8; 48],
    length: usize,
}

impl IpText {
    pub(super) fn new(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; 48],
            length: 0,
        };
        // Cannot fail: the buffer is large enough.
        let _ = write!(text, "{address}");
        text
    }

    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for IpText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let slot = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?;
        slot.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_fits() {
        for text in [
            "192.0.2.255",
            "::1",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(IpText::new(text.parse().unwrap()).as_str(), text);
        }
    }
}
