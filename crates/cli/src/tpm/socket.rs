//! A TPM behind a socket: an emulator, such as swtpm.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use super::{
    transport::{LONGEST, Transport},
    wire::HEADER,
};

/// A stream of commands and responses.
pub(super) struct Socket<S>(S);

impl Socket<TcpStream> {
    /// Connects to `host:port`.
    pub(super) fn connect_tcp(address: &str) -> io::Result<Box<dyn Transport>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Self(stream)))
    }
}

#[cfg(unix)]
impl Socket<std::os::unix::net::UnixStream> {
    /// Connects to the Unix socket at `path`.
    pub(super) fn connect_unix(path: &str) -> io::Result<Box<dyn Transport>> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        Ok(Box::new(Self(stream)))
    }
}

impl<S: Read + Write + Send> Transport for Socket<S> {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut response = vec![0; HEADER];
        self.0.read_exact(&mut response)?;
        // The size follows the tag.
        let size = response.get(2..6).and_then(|size| size.first_chunk());
        let size = size.map_or(0, |size| u32::from_be_bytes(*size));
        let size = usize::try_from(size)
            .ok()
            .filter(|size| (HEADER..=LONGEST).contains(size))
            .ok_or(io::ErrorKind::InvalidData)?;
        response.resize(size, 0);
        self.0
            .read_exact(response.get_mut(HEADER..).unwrap_or_default())?;
        Ok(response)
    }
}
