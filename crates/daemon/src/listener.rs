//! The listener. It accepts connections, terminates TLS, and serves HTTP/1.1 and HTTP/2 on one port.

use std::{convert::Infallible, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use gateway::listener::{Limits, Protocol, Protocols, ReadAhead, StallTimeout, TrustedProxies};
use http::{Request, Response};
use hyper::service::Service;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connections::{Connections, Holder, Slot},
    dispatch::{Answer, Dispatch},
    sites::{Connection, Incoming},
    workers::RoundRobin,
};

mod counted;
mod opening;

pub(crate) use counted::CountedConnection;

/// The pause after an `accept` failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Stream = TlsStream<StallTimeout<ReadAhead<CountedConnection>>>;

/// A bound socket with its server.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) serving: Serving,
    /// The threads that serve connections.
    pub(crate) workers: RoundRobin,
    /// The time that open requests may take to end.
    pub(crate) drain_timeout: Duration,
}

/// The server for accepted connections.
#[derive(Clone)]
pub(crate) struct Serving {
    tls: TlsAcceptor,
    pub(crate) dispatch: Arc<Dispatch>,
    /// The open connections.
    pub(crate) connections: Arc<Connections>,
    /// Proxies that are trusted to name the client.
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) protocols: Arc<Protocols>,
}

impl Listener {
    /// Serves until `stop` is cancelled, then waits for open requests.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let drain = CancellationToken::new();
        let abort = CancellationToken::new();
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            let Some((stream, slot, peer)) = self.admit(accepted).await else {
                continue;
            };
            let serving = self.serving.clone();
            let drain = drain.clone();
            let abort = abort.clone();
            tracker.spawn_on(
                async move {
                    let served = serving.serve(stream, slot, peer, drain);
                    abort.run_until_cancelled(served).await;
                },
                &self.workers.next(),
            );
        }

        drop(self.socket);
        tracker.close();
        drain.cancel();
        let open = tracker.len();
        tracing::info!(connections = open, "draining");
        if timeout(self.drain_timeout, tracker.wait()).await.is_err() {
            tracing::warn!(
                connections = tracker.len(),
                "requests were still open when the time to drain was over"
            );
            abort.cancel();
            tracker.wait().await;
        }
    }

    /// Accepts first and checks the limits then, so that idle connections never delay a new one.
    async fn admit(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
    ) -> Option<(std::net::TcpStream, Slot, SocketAddr)> {
        let accepted = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.serving.connections.not_accepted(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let prefix = peer.ip().into();
        let holder = if self.serving.proxies.has(peer.ip()) {
            Holder::Proxy(prefix)
        } else {
            Holder::Client(prefix)
        };
        let slot = self.serving.connections.admit(holder)?;
        Some((stream, slot, peer))
    }
}

impl Serving {
    /// Creates a server with the default limits of the protocols.
    pub(crate) fn new(
        tls: TlsAcceptor,
        dispatch: Dispatch,
        connections: Arc<Connections>,
        proxies: Arc<TrustedProxies>,
    ) -> Self {
        Self {
            tls,
            dispatch: Arc::new(dispatch),
            connections,
            proxies,
            protocols: Arc::new(Protocols::new(&Limits::default())),
        }
    }

    async fn serve(
        self,
        stream: std::net::TcpStream,
        slot: Slot,
        peer: SocketAddr,
        drain: CancellationToken,
    ) {
        let activity = Arc::clone(slot.activity());
        // Boxed, because it is needed only during the handshake, while the rest lives as long as the connection.
        let opening = Box::pin(opening::open(&self, stream, slot, peer));
        let opened = tokio::select! {
            opened = opening => opened,
            () = activity.closing() => None,
        };
        let Some(opening::Opened {
            stream,
            client: peer,
            share,
        }) = opened
        else {
            return;
        };
        let tls = stream.get_ref().1;
        let protocol = match tls.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let server_name = tls.server_name();
        let connection = Connection {
            peer,
            server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
        };
        let requests = Requests {
            dispatch: self.dispatch,
            connection,
        };
        let served = self
            .protocols
            .serve(stream, protocol, requests, &activity, &share, &drain);
        if let Err(error) = served.await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// The service for the requests of one connection.
struct Requests {
    dispatch: Arc<Dispatch>,
    connection: Connection,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    /// Boxed, because a connection reserves room for it while it is open.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let dispatch = Arc::clone(&self.dispatch);
        let connection = self.connection.clone();
        #[allow(clippy::large_futures, reason = "it is boxed here")]
        let answering = async move { Ok(dispatch.answer(request, connection).await) };
        Box::pin(answering)
    }
}
