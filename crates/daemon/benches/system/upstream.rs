//! The measured Service and its upstream.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// The host of the Service of [`service`].
pub(crate) const HOST: &str = "web.localhost";
/// The interval between the parts of an endless response.
const BEAT: Duration = Duration::from_millis(2);

/// Starts the upstream. Returns the document of a Service for it, which workloads can use at [`HOST`].
pub(crate) async fn service() -> String {
    let port = start().await;
    format!(
        "
kind: Service
metadata: {{ name: web }}
spec:
  mode: HTTP
  isPublic: true
  authorization: {{ policies: [allow-all] }}
  config:
    upstream: {{ url: 'http://127.0.0.1:{port}' }}
"
    )
}

/// Starts an upstream that answers at once, or without end at `/stream`. Returns its port.
async fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// Serves a connection until its client closes it.
async fn serve(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    let mut request = Vec::new();
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => return,
            }
        }
        let is_stream = request.starts_with(b"GET /stream");
        request.clear();
        let answer: &[u8] = if is_stream {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
        if is_stream {
            while stream.write_all(b"1\r\n.\r\n").await.is_ok() {
                tokio::time::sleep(BEAT).await;
            }
            return;
        }
    }
}
