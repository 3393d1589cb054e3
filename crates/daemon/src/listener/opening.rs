//! The start of a connection: the PROXY protocol header of a trusted proxy, then the TLS handshake.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use gateway::listener::{
    ClientShare, Limit, Limits, ReadAhead, StallTimeout,
    proxy_protocol::{self, Source},
};
use tokio::{net::TcpStream, time::timeout};

use super::{CountedConnection, Serving, Stream};
use crate::connections::{Holder, Slot};

/// The timeout of header and handshake together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection after its handshake.
pub(super) struct Opened {
    pub(super) stream: Box<Stream>,
    /// The address of the client.
    pub(super) client: SocketAddr,
    /// The share of the client.
    pub(super) share: Arc<ClientShare>,
}

/// Returns the connection, or `None` if header or handshake fail.
pub(super) async fn open(
    serving: &Serving,
    stream: std::net::TcpStream,
    slot: Slot,
    peer: SocketAddr,
) -> Option<Opened> {
    // Registers the connection with the runtime of the thread that serves it.
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "connection not served");
            return None;
        }
    };
    // Small frames of streams must be sent immediately.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no-delay not set");
    }
    if let Ok(opened) = timeout(HANDSHAKE_TIMEOUT, handshake(serving, stream, slot, peer)).await {
        return opened;
    }
    Limit::HandshakeTime.reached_by(peer.ip());
    None
}

async fn handshake(
    serving: &Serving,
    mut stream: TcpStream,
    slot: Slot,
    peer: SocketAddr,
) -> Option<Opened> {
    let (client, slot) = if serving.proxies.must_send_header(peer.ip()) {
        client_of(&mut stream, slot, peer).await?
    } else {
        (peer, slot)
    };
    let share = slot.share();
    let stream = CountedConnection::new(stream, slot);
    let stream = StallTimeout::new(ReadAhead::new(stream), Limits::default().stall);
    match serving.tls.accept(stream).await {
        Ok(stream) => Some(Opened {
            stream: Box::new(stream),
            client,
            share,
        }),
        Err(error) => {
            tracing::debug!(peer = %client, %error, "TLS handshake failed");
            None
        }
    }
}

/// Reads the header of a proxy, and moves the slot to the client. A connection without a header is rejected, because
/// the proxy's own address must not be used as a client's.
async fn client_of(
    stream: &mut TcpStream,
    slot: Slot,
    proxy: SocketAddr,
) -> Option<(SocketAddr, Slot)> {
    match proxy_protocol::read(stream).await {
        Ok(Source::Proxy) => Some((proxy, slot)),
        Ok(Source::Client(client)) => {
            let slot = slot.held_by(Holder::Client(client.ip().into()))?;
            Some((client, slot))
        }
        Err(error) => {
            // Health checks that only connect send nothing.
            if error.kind() == io::ErrorKind::InvalidData {
                Limit::ProxyHeader.reached_by(format_args!("{}: {error}", proxy.ip()));
            }
            None
        }
    }
}
