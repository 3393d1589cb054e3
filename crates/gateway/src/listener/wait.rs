//! To wait for a connection without a buffer to read into.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{ReadAhead, StallTimeout};

/// A connection that says when there is something to read, its end included.
pub trait WaitReadable {
    /// Is ready where a read would not wait. Only to be asked after a read had to.
    ///
    /// # Errors
    /// Those of the connection.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl WaitReadable for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl<IO: WaitReadable + ?Sized> WaitReadable for Box<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for TlsStream<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for ReadAhead<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for StallTimeout<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().poll_readable(cx)
    }
}
