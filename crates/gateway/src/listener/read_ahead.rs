//! Reads of large bodies in large pieces. Without it, TLS reads 4 KB at a time.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Two TLS records.
const PIECE: usize = 32 * 1024;

/// A connection that reads ahead while more data arrives than is requested. An idle or slow connection holds no buffer.
pub struct ReadAhead<IO> {
    io: IO,
    ahead: Vec<u8>,
    /// Offsets in `ahead`: the start and the end of the unread part.
    taken: usize,
    filled: usize,
    /// True if the last read filled the whole buffer, so more data is probably available.
    more: bool,
}

impl<IO> ReadAhead<IO> {
    /// Wraps `io`. No buffer is allocated yet.
    pub fn new(io: IO) -> Self {
        Self {
            io,
            ahead: Vec::new(),
            taken: 0,
            filled: 0,
            more: false,
        }
    }

    pub(super) fn get_ref(&self) -> &IO {
        &self.io
    }

    /// Copies buffered data. Returns false if the buffer is empty.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let here = self.ahead.get(self.taken..self.filled).unwrap_or_default();
        let count = here.len().min(buffer.remaining());
        buffer.put_slice(here.get(..count).unwrap_or_default());
        self.taken += count;
        count > 0
    }

    fn rest(&mut self) {
        self.more = false;
        self.ahead = Vec::new();
        self.taken = 0;
        self.filled = 0;
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        // A buffer that is larger than a piece is read into directly.
        if !this.more || buffer.remaining() >= PIECE {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            this.more = buffer.remaining() == 0 && buffer.filled().len() > before;
            return Poll::Ready(Ok(()));
        }
        this.ahead.resize(PIECE, 0);
        let mut piece = ReadBuf::new(&mut this.ahead);
        let polled = Pin::new(&mut this.io).poll_read(cx, &mut piece);
        let filled = piece.filled().len();
        if let Poll::Ready(Ok(())) = polled
            && filled > 0
        {
            this.taken = 0;
            this.filled = filled;
            this.give(buffer);
        } else {
            this.rest();
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn everything_comes_in_order_and_then_nothing_is_held() {
        let sent: Vec<u8> = (0..1_000_000_u32)
            .map(|number| number.to_le_bytes()[1])
            .collect();
        for asked in [1000, 4096, 16_389, 100_000] {
            let (mut client, server) = duplex(64 * 1024);
            let mut server = ReadAhead::new(server);
            let copy = sent.clone();
            let writer = tokio::spawn(async move {
                client.write_all(&copy).await.unwrap();
                client
            });
            let mut received = Vec::new();
            let mut buffer = vec![0; asked];
            while received.len() < sent.len() {
                let count = server.read(&mut buffer).await.unwrap();
                received.extend_from_slice(&buffer[..count]);
            }
            assert!(received == sent, "{asked}");
            let mut client = writer.await.unwrap();
            // No data is available, so it drops its buffer.
            let waiting = tokio::time::timeout(std::time::Duration::ZERO, server.read(&mut buffer));
            assert!(waiting.await.is_err());
            assert_eq!(server.ahead.capacity(), 0, "{asked}");
            client.write_all(b"more").await.unwrap();
            assert_eq!(server.read(&mut buffer).await.unwrap(), 4);
            drop(client);
            assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        }
    }
}
