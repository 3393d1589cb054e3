//! The handlers of requests: the API, the Cluster's own pages and endpoints, and the Services.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body};
use gateway::{
    Gateway,
    listener::{ClientBody, OpenBody},
};
use http::{Request, Response};
use server::{Peer, RequestId};
use tower::ServiceExt as _;

/// The body of a request.
pub(crate) type Incoming = OpenBody<ClientBody>;

/// The facts about a connection before its first request.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The address of the client, or of the proxy if `X-Forwarded-For` names the client of each request.
    pub(crate) peer: SocketAddr,
    /// The server name of the TLS handshake, in lower case. `None` if the client sent none.
    pub(crate) server_name: Option<Arc<str>>,
}

/// The handlers of all sites.
pub(crate) struct Sites {
    api: Router,
    cluster: Router,
    gateway: Arc<Gateway>,
}

impl Sites {
    pub(crate) fn new(api: Router, cluster: Router, gateway: Arc<Gateway>) -> Self {
        Self {
            api,
            cluster,
            gateway,
        }
    }

    /// Handles a gRPC request.
    pub(crate) async fn api(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
        id: String,
    ) -> Response<Body> {
        route(&self.api, request, connection, id).await
    }

    /// Handles a request for OAuth2 or a page.
    pub(crate) async fn cluster(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
        id: String,
    ) -> Response<Body> {
        route(&self.cluster, request, connection, id).await
    }

    /// Handles a request to a Service.
    pub(crate) async fn service(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> Response<gateway::Body> {
        self.gateway.handle(request, connection.peer).await
    }
}

async fn route(
    router: &Router,
    mut request: Request<Incoming>,
    connection: &Connection,
    id: String,
) -> Response<Body> {
    let extensions = request.extensions_mut();
    extensions.insert(Peer(connection.peer.ip().to_canonical()));
    extensions.insert(RequestId(id));
    let answer: Result<_, Infallible> = router.clone().oneshot(request.map(Body::new)).await;
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
