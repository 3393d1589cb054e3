//! Memory of many open `WebSocket`s.

use crate::{
    figures::Figures,
    http::Target,
    stage::{self, Servers},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Each needs two descriptors. The number is slightly below the target, for a process limit of 20,000.
const SOCKETS: usize = 9_900;
const ASKED: f64 = 10_000.0;

pub(crate) async fn run(figures: &mut Figures) {
    let servers = Servers::start();
    let proxy = stage::octeliumd(&servers.upstreams()).await;
    let target = Target::new(proxy.address, &proxy.certificate);
    let idle = proxy.resident();
    let mut open = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        let mut stream = target.stream("socket.localhost", b"http/1.1").await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: socket.localhost\r\nAuthorization: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            proxy.authorization
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        open.push(stream);
    }
    let resident = proxy.resident();
    let each = (resident - idle) / SOCKETS as f64;
    figures.add("websockets", "open", SOCKETS as f64, "", "");
    figures.add("websockets", "each", each / 1e3, "KB", "");
    let all = (idle + each * ASKED) / 1e6;
    figures.add("websockets", "process with 10000", all, "MB", "<= 400");
}
