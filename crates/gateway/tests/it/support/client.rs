//! Clients that send exact bytes.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::world::{HOST, TOKEN};

/// A parsed HTTP/1.1 response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(value)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Sends `bytes` and reads until the gateway closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may respond and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "not closed: {}",
        String::from_utf8_lossy(&answer)
    );
    answer
}

/// Sends a GET request on a new connection. `fields` are complete lines.
pub(crate) async fn get(address: SocketAddr, target: &str, fields: &[&str]) -> Reply {
    send(address, "GET", target, fields, "").await
}

/// Sends a GET request like [`get`], with a valid token.
pub(crate) async fn get_authorized(address: SocketAddr, target: &str, fields: &[&str]) -> Reply {
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let fields: Vec<&str> = fields.iter().copied().chain([bearer.as_str()]).collect();
    get(address, target, &fields).await
}

pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[&str],
    body: &str,
) -> Reply {
    let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !fields
        .iter()
        .any(|field| field.to_ascii_lowercase().starts_with("host:"))
    {
        write!(request, "Host: {HOST}\r\n").unwrap();
    }
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    if !body.is_empty() {
        write!(request, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    request.push_str("\r\n");
    request.push_str(body);
    parse(&raw(address, request.as_bytes()).await)
}

pub(crate) fn parse(answer: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1);
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    Reply {
        status: status
            .unwrap_or_else(|| panic!("no status: {text}"))
            .parse()
            .unwrap(),
        body: if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
        headers,
    }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 || rest.len() < size {
            break;
        }
        body.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
    }
    body
}
