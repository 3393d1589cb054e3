//! The admin listener.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

use super::cluster::Cluster;

/// Returns the status and the body of its response at `path`.
pub(crate) async fn report(cluster: &Cluster, path: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(cluster.admin_address)
        .await
        .unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .uri(path)
        .header("host", "admin")
        .body(Full::new(bytes::Bytes::new()))
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    )
}
