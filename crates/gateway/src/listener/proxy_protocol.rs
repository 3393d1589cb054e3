//! The PROXY protocol, version 2, with which a load balancer passes the client's address.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, sections 2.2 to 2.2.3. The parser is strict: it
//! accepts one header, only TCP, and not version 1.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Length of the fixed part of the header in bytes.
pub const HEAD_LENGTH: usize = 16;
/// Maximum length of the variable part in bytes. Addresses take at most 36; the rest are extensions.
pub const MAX_LENGTH: usize = 1024;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_IPV4: u8 = 0x11;
const TCP_IPV6: u8 = 0x21;
const TYPE_CRC32C: u8 = 3;

/// The source of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The proxy itself, for example for a health check.
    Proxy,
    /// A client with this address.
    Client(SocketAddr),
}

/// The reason why a header is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// Another protocol, or version 1.
    #[error("the connection does not begin with a PROXY protocol header of version 2")]
    Signature,
    /// An unknown version or command.
    #[error("unknown version or command {0:#04x} in the PROXY protocol header")]
    Command(u8),
    /// Not TCP over IPv4 or IPv6.
    #[error("address family {0:#04x} in the PROXY protocol header: expected TCP over IPv4 or IPv6")]
    Family(u8),
    /// Longer than [`MAX_LENGTH`], or too short for its content.
    #[error("length {0} of the PROXY protocol header does not fit what it holds")]
    Length(usize),
    /// An address that a client cannot have.
    #[error("{0} in the PROXY protocol header is not the address of a client")]
    Address(IpAddr),
    /// A wrong checksum.
    #[error("the checksum of the PROXY protocol header is wrong")]
    Checksum,
}

/// Reads the header at the start of a connection, and no byte after it.
///
/// # Errors
///
/// Returns an error of kind [`io::ErrorKind::InvalidData`] that contains an [`InvalidHeader`] if the header is
/// rejected. Returns other kinds if the connection fails or ends.
pub async fn read<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<Source> {
    let refused = |problem: InvalidHeader| io::Error::new(io::ErrorKind::InvalidData, problem);
    let mut head = [0; HEAD_LENGTH];
    io.read_exact(&mut head).await?;
    let length = length(&head).map_err(refused)?;
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    parse(&head, &rest).map_err(refused)
}

/// Returns the length of the variable part in bytes.
///
/// # Errors
///
/// Returns [`InvalidHeader::Signature`] or [`InvalidHeader::Length`].
pub fn length(head: &[u8; HEAD_LENGTH]) -> Result<usize, InvalidHeader> {
    let (signature, rest) = head.split_at(SIGNATURE.len());
    if signature != SIGNATURE {
        return Err(InvalidHeader::Signature);
    }
    let length = match rest {
        [_, _, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(InvalidHeader::Signature),
    };
    if length > MAX_LENGTH {
        return Err(InvalidHeader::Length(length));
    }
    Ok(length)
}

/// Parses a whole header. The length of `rest` is the result of [`length`].
///
/// # Errors
///
/// Returns an [`InvalidHeader`] if the header is not valid.
pub fn parse(head: &[u8; HEAD_LENGTH], rest: &[u8]) -> Result<Source, InvalidHeader> {
    let wrong_length = InvalidHeader::Length(rest.len());
    if length(head)? != rest.len() {
        return Err(wrong_length);
    }
    let [.., command, family, _, _] = *head;
    match command {
        // The other fields are ignored for this command.
        LOCAL => return Ok(Source::Proxy),
        PROXY => {}
        other => return Err(InvalidHeader::Command(other)),
    }
    let (source, extensions) = match family {
        TCP_IPV4 => split_ipv4(rest),
        TCP_IPV6 => split_ipv6(rest),
        other => return Err(InvalidHeader::Family(other)),
    }
    .ok_or(wrong_length)?;
    check_extensions(head, rest, extensions)?;
    let address = source.ip().to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err(InvalidHeader::Address(address));
    }
    Ok(Source::Client(SocketAddr::new(address, source.port())))
}

/// Layout: source address, destination address, source port, destination port.
fn split_ipv4(rest: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (source, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_, extensions) = rest.split_first_chunk::<2>()?;
    let address = (Ipv4Addr::from(*source), u16::from_be_bytes(*port));
    Some((address.into(), extensions))
}

fn split_ipv6(rest: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_, extensions) = rest.split_first_chunk::<2>()?;
    let address = (Ipv6Addr::from(*source), u16::from_be_bytes(*port));
    Some((address.into(), extensions))
}

/// Checks that the extensions fill the rest of the header and that a checksum is correct.
fn check_extensions(
    head: &[u8; HEAD_LENGTH],
    rest: &[u8],
    mut extensions: &[u8],
) -> Result<(), InvalidHeader> {
    let wrong_length = InvalidHeader::Length(rest.len());
    while !extensions.is_empty() {
        let (kind, after) = extensions.split_first_chunk::<3>().ok_or(wrong_length)?;
        let [kind, high, low] = *kind;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = after.split_at_checked(length).ok_or(wrong_length)?;
        if kind == TYPE_CRC32C {
            let expected = <[u8; 4]>::try_from(value).map_err(|_| wrong_length)?;
            // The checksum is computed with zeros in its own place.
            let place = rest.len() - after.len() - value.len();
            let (before, _) = rest.split_at_checked(place).ok_or(wrong_length)?;
            let parts = [head.as_slice(), before, &[0; 4], after];
            if crc32c(&parts) != u32::from_be_bytes(expected) {
                return Err(InvalidHeader::Checksum);
            }
        }
        extensions = after;
    }
    Ok(())
}

/// Computes CRC-32C (RFC 9260, appendix A).
fn crc32c(parts: &[&[u8]]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bytes = parts.iter().copied().flatten();
    let register = bytes.fold(u32::MAX, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            let mask = (register & 1).wrapping_neg();
            (register >> 1) ^ (POLYNOMIAL & mask)
        })
    });
    !register
}

#[cfg(test)]
mod tests;
