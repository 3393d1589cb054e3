//! Login through a browser: somebody who is logged in there lets this client in.
//!
//! The client listens on the loopback interface, and proves with a secret of its own that the answer is meant for it:
//! whoever else on this machine sees the answer can do nothing with it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use api::auth_v1::{ClientLoginRequest, ClientLoginResponse, client_login_request::ApiVersion};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{credential::code_challenge, rng::random_string};
use prost::Message as _;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    context::Context,
    failure::{Failure, Reason},
};

const PATIENCE: Duration = Duration::from_mins(5);
/// For a browser to send the head of its request.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: usize = 16 * 1024;
const SUFFIX_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: usize = 8;
const LOWEST_PORT: u16 = 10_000;
const ATTEMPTS: usize = 5;

/// What a browser has brought, and what shows that it is for us.
pub(crate) struct Approved {
    /// Works once.
    pub(crate) token: SecretString,
    /// Of which the Cluster knows the hash.
    pub(crate) verifier: [u8; 32],
}

/// Whether a browser is opened, or its user told where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// By this program.
    Browser,
    /// By hand.
    ByHand,
}

/// Waits until somebody has let this client in.
///
/// # Errors
/// No port is free, or nobody does within five minutes.
pub(crate) async fn approve(
    context: &Context,
    domain: &str,
    opening: Opening,
) -> Result<Approved, Failure> {
    let mut verifier = [0; 32];
    context.rng().fill(&mut verifier);
    let challenge = code_challenge(&verifier);
    let suffix = random_string(context.rng(), SUFFIX_ALPHABET, SUFFIX_LENGTH);
    let listener = Listener::bind(context).await?;
    let request = ClientLoginRequest {
        api_version: ApiVersion::V1.into(),
        callback_port: listener.port.into(),
        callback_suffix: suffix.clone(),
        code_challenge: challenge.to_vec(),
    };
    let request = URL_SAFE_NO_PAD.encode(request.encode_to_vec());
    let url = format!("https://{domain}/login?octelium_req={request}");

    let terminal = &context.terminal;
    terminal.say("Please authenticate yourself using Octelium web Portal");
    let [a, b, c, d, ..] = challenge;
    terminal.say(&format!("Code: {a:02X}{b:02X}-{c:02X}{d:02X}"));
    let is_open = opening == Opening::Browser && open(&url);
    if !is_open {
        terminal.say("Open this in a browser on this machine:");
        terminal.line(&url)?;
    }
    terminal.say("Waiting for you to approve the login in your browser. Press Ctrl-C to cancel.");
    let path = format!("/callback/success/{suffix}");
    let waiting = listener.wait(&path, domain, &challenge);
    let token = timeout(PATIENCE, waiting).await.map_err(|_| {
        Failure::new(
            Reason::Unavailable,
            "Timeout",
            "nobody has approved the login within five minutes",
        )
        .hint("start it again; on a machine without a browser: octelium login --device")
    })?;
    Ok(Approved { token, verifier })
}

/// Both loopback addresses, at the same port.
struct Listener {
    port: u16,
    sockets: Vec<TcpListener>,
}

impl Listener {
    async fn bind(context: &Context) -> Result<Self, Failure> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let mut bytes = [0; 2];
            context.rng().fill(&mut bytes);
            let range = u16::MAX - LOWEST_PORT;
            let port = LOWEST_PORT + u16::from_be_bytes(bytes) % range;
            let mut sockets = Vec::new();
            let addresses = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ];
            for address in addresses {
                match TcpListener::bind(address).await {
                    Ok(socket) => sockets.push(socket),
                    // Somebody else is there: what is sent to `localhost` could reach them.
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                        last = Some(error);
                        sockets.clear();
                        break;
                    }
                    // Not every machine has both.
                    Err(error) => last = Some(error),
                }
            }
            if !sockets.is_empty() {
                return Ok(Self { port, sockets });
            }
        }
        let error = last.map_or_else(String::new, |error| format!(": {error}"));
        Err(Failure::input(format!(
            "cannot listen on the loopback interface{error}"
        )))
    }

    async fn wait(&self, path: &str, domain: &str, challenge: &[u8]) -> SecretString {
        loop {
            let Some(mut stream) = self.accept().await else {
                continue;
            };
            let answering = answer(&mut stream, path, domain, challenge);
            if let Ok(Some(token)) = timeout(HEAD_PATIENCE, answering).await {
                return token;
            }
        }
    }

    async fn accept(&self) -> Option<TcpStream> {
        let accepted = match self.sockets.as_slice() {
            [one] => one.accept().await,
            [one, other, ..] => tokio::select! {
                accepted = one.accept() => accepted,
                accepted = other.accept() => accepted,
            },
            [] => std::future::pending().await,
        };
        accepted.ok().map(|(stream, _)| stream)
    }
}

/// Answers one request. `None` where it is not the one that is waited for.
async fn answer(
    stream: &mut TcpStream,
    path: &str,
    domain: &str,
    challenge: &[u8],
) -> Option<SecretString> {
    let head = read_head(stream).await?;
    let token = token_of(&head, path, challenge);
    let reply = if token.is_some() {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: https://{domain}\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    } else {
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    };
    stream.write_all(reply.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    token
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut part = [0; 2048];
        let length = stream.read(&mut part).await.ok()?;
        if length == 0 || head.len() > LONGEST_HEAD {
            return None;
        }
        head.extend_from_slice(part.get(..length)?);
    }
    String::from_utf8(head).ok()
}

/// The token of a `GET` of the path that was agreed, with the challenge that was sent.
fn token_of(head: &str, path: &str, challenge: &[u8]) -> Option<SecretString> {
    let line = head.lines().next()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let (sent, query) = target.split_once('?')?;
    if sent != path {
        return None;
    }
    let response = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("octelium_response="))?;
    let bytes = URL_SAFE_NO_PAD.decode(response).ok()?;
    let response = ClientLoginResponse::decode(&*bytes).ok()?;
    let is_ours = response.code_challenge == challenge && !response.authentication_token.is_empty();
    is_ours.then(|| SecretString::from(response.authentication_token))
}

/// Opens a browser; `false` where there is none.
fn open(url: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut command = Command::new("rundll32");
        command.arg("url.dll,FileProtocolHandler");
        command
    } else {
        Command::new("xdg-open")
    };
    // There is nothing secret in the address.
    let started = command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const PATH: &str = "/callback/success/aB3dE6gH";
    const CHALLENGE: [u8; 32] = [7; 32];

    fn response(token: &str, challenge: &[u8]) -> String {
        let response = ClientLoginResponse {
            authentication_token: token.to_owned(),
            code_challenge: challenge.to_vec(),
        };
        URL_SAFE_NO_PAD.encode(response.encode_to_vec())
    }

    fn token(line: &str) -> Option<String> {
        let head = format!("{line}\r\nHost: localhost\r\n\r\n");
        token_of(&head, PATH, &CHALLENGE).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn w08_only_the_answer_that_was_asked_for_is_taken() {
        let good = response("AQ-token", &CHALLENGE);
        let line = format!("GET {PATH}?octelium_response={good} HTTP/1.1");
        assert_eq!(token(&line).as_deref(), Some("AQ-token"));
        let other = response("AQ-token", &[8; 32]);
        let without = response("AQ-token", &[]);
        let empty = response("", &CHALLENGE);
        for line in [
            format!("POST {PATH}?octelium_response={good} HTTP/1.1"),
            format!("GET {PATH}x?octelium_response={good} HTTP/1.1"),
            format!("GET /?octelium_response={good} HTTP/1.1"),
            format!("GET {PATH}?octelium_response={other} HTTP/1.1"),
            format!("GET {PATH}?octelium_response={without} HTTP/1.1"),
            format!("GET {PATH}?octelium_response={empty} HTTP/1.1"),
            format!("GET {PATH}?octelium_response=!! HTTP/1.1"),
            format!("GET {PATH} HTTP/1.1"),
            String::new(),
        ] {
            assert_eq!(token(&line), None, "{line}");
        }
    }
}
