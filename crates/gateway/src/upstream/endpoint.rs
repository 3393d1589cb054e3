//! One address of an upstream.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue,
    uri::{Authority, Scheme},
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::{
    Config,
    problems::Problems,
    upstream::{
        connect::{self, ConnectError, ReachableAddresses},
        health::Health,
        http1::{self, Http1Pool},
        http2::{self, Http2Slot},
        tls::Trust,
        url::{Protocol, UpstreamUrl},
    },
    worker::PerWorker,
};

/// An endpoint with its connections.
pub(crate) struct Endpoint {
    pub(crate) authority: Authority,
    /// The prefix of each path.
    pub(crate) base: String,
    /// The authority for `Host`.
    pub(crate) host_header: HeaderValue,
    pub(super) health: Health,
    pub(super) http1: Http1Pool,
    http2: PerWorker<Http2Slot>,
    protocol: Protocol,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    reach: ReachableAddresses,
}

/// A connection that is ready for one request.
pub(super) enum Connection {
    Http1 {
        sender: http1::Sender,
        /// True if it carried a request before.
        reused: bool,
    },
    Http2(http2::Sender),
}

impl Endpoint {
    pub(super) fn new(
        url: UpstreamUrl,
        trust: &mut Trust,
        settings: &Config,
        reach: ReachableAddresses,
        problems: &mut Problems,
    ) -> Option<Self> {
        let tls = if url.tls {
            let connector = trust.connector(url.protocol, problems)?;
            if let Ok(name) = ServerName::try_from(url.host.clone()) {
                Some((connector, name))
            } else {
                problems.add(
                    "spec.config.upstream",
                    "has a host that is not valid for TLS",
                );
                return None;
            }
        } else {
            None
        };
        Some(Self {
            host_header: HeaderValue::from_str(url.authority.as_str()).ok()?,
            authority: url.authority,
            base: url.base,
            health: Health::default(),
            http1: Http1Pool::new(settings),
            http2: PerWorker::new(settings.workers, Http2Slot::default),
            protocol: url.protocol,
            host: url.host,
            port: url.port,
            tls,
            connect_timeout: settings.connect_timeout,
            reach,
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the scheme for the HTTP/2 pseudo-header.
    pub(super) fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// Returns a pooled connection or a new one; always a new one if `fresh` is set. Records failures in [`Health`].
    pub(super) async fn connection(
        self: &Arc<Self>,
        fresh: bool,
    ) -> Result<Connection, ConnectError> {
        let ready = match self.protocol {
            Protocol::Http1 if !fresh => self.http1.take().await.map(|sender| Connection::Http1 {
                sender,
                reused: true,
            }),
            Protocol::Http1 => None,
            Protocol::Http2 => self
                .http2
                .get()
                .and_then(Http2Slot::current)
                .map(Connection::Http2),
        };
        if let Some(connection) = ready {
            return Ok(connection);
        }
        let opened = tokio::time::timeout(self.connect_timeout, async {
            match self.protocol {
                Protocol::Http1 => self.open_http1().await,
                Protocol::Http2 => self.open_http2().await.map(Connection::Http2),
            }
        })
        .await
        .unwrap_or(Err(ConnectError::Timeout));
        match &opened {
            Ok(_) => self.health.succeeded(),
            Err(_) => self.health.failed(),
        }
        opened
    }

    async fn open_http1(&self) -> Result<Connection, ConnectError> {
        let tcp = connect::connect(&self.host, self.port, &self.reach).await?;
        let sender = match &self.tls {
            None => http1::handshake(TokioIo::new(tcp)).await?,
            Some((connector, name)) => {
                let tls = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(ConnectError::Tls)?;
                http1::handshake(TokioIo::new(tls)).await?
            }
        };
        Ok(Connection::Http1 {
            sender,
            reused: false,
        })
    }

    /// Opens an HTTP/2 connection. Only one request connects; the others wait and share the connection.
    async fn open_http2(&self) -> Result<http2::Sender, ConnectError> {
        let slot = self.http2.get();
        let _turn = match slot {
            Some(slot) => Some(slot.lock_for_opening().await),
            None => None,
        };
        if let Some(sender) = slot.and_then(Http2Slot::current) {
            return Ok(sender);
        }
        let tcp = connect::connect(&self.host, self.port, &self.reach).await?;
        let sender = match &self.tls {
            None => http2::handshake(TokioIo::new(tcp)).await?,
            Some((connector, name)) => {
                let tls = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(ConnectError::Tls)?;
                if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(ConnectError::NoHttp2);
                }
                http2::handshake(TokioIo::new(tls)).await?
            }
        };
        if let Some(slot) = slot {
            slot.set(sender.clone());
        }
        Ok(sender)
    }
}
