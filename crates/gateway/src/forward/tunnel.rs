//! A WebSocket between client and upstream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};

use crate::{
    forward::{
        upstream_response::Guards,
        websocket::{CLOSE_TO_CLIENT, CLOSE_TO_UPSTREAM, FrameTracker},
    },
    record::Record,
};

/// Copies bytes both ways until either side closes or the Session ends. Runs as its own task and writes `record` at the
/// end.
pub(super) fn open(client: OnUpgrade, upstream: OnUpgrade, guards: Guards, record: Box<Record>) {
    tokio::spawn(async move {
        let mut record = record;
        // Declared before the connections, so that the place is free only after they are closed.
        let Guards {
            watch,
            exchange: _exchange,
        } = guards;
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a connection was not upgraded to a WebSocket");
                return record.set_error("no_upgrade");
            }
        };
        let mut client = Side::new(client);
        let mut upstream = Side::new(upstream);
        let revoked = tokio::select! {
            biased;
            () = watch.over() => true,
            _ = copy_bidirectional(&mut client, &mut upstream) => false,
        };
        if revoked {
            record.set_error("revoked");
            let closing = async {
                client.close(&CLOSE_TO_CLIENT).await;
                upstream.close(&CLOSE_TO_UPSTREAM).await;
            };
            // A side that does not read is disconnected without a closing frame.
            let _ = tokio::time::timeout(Duration::from_millis(100), closing).await;
        }
        record.add_sent(client.written.total());
        record.set_complete();
    });
}

struct Side {
    io: TokioIo<Upgraded>,
    written: FrameTracker,
}

impl Side {
    fn new(io: Upgraded) -> Self {
        Self {
            io: TokioIo::new(io),
            written: FrameTracker::default(),
        }
    }

    async fn close(&mut self, frame: &[u8]) {
        if self.written.at_boundary() {
            let _ = self.io.write_all(frame).await;
        }
        let _ = self.io.shutdown().await;
    }
}

impl AsyncRead for Side {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Side {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            this.written.feed(bytes.get(..*count).unwrap_or_default());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
