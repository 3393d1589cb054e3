//! Login with a browser: a User who is logged in there approves this client.
//!
//! The client listens on the loopback interface. It proves with a secret verifier that the approval is meant for it, so
//! another process on the machine cannot use an intercepted response.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use api::auth_v1::{
    ClientLoginRequest, ClientLoginResponse,
    authenticate_authenticator_begin_response::challenge_request::Fido,
    client_login_request::ApiVersion,
};
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
    client::Approved,
    context::Context,
    failure::{Failure, Reason},
};

const PATIENCE: Duration = Duration::from_mins(5);
/// Timeout for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: usize = 16 * 1024;
const SUFFIX_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: usize = 8;
const LOWEST_PORT: u16 = 10_000;
const ATTEMPTS: usize = 5;

/// The way in which the browser is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrowserLaunch {
    /// The program opens the browser.
    Browser,
    /// The User opens the printed URL.
    ByHand,
}

/// Waits until a User approves this client in the browser.
///
/// # Errors
/// Returns a failure if no port is free, or if no approval arrives within five minutes.
pub(crate) async fn approve(
    context: &Context,
    domain: &str,
    opening: BrowserLaunch,
) -> Result<Approved, Failure> {
    let mut verifier = [0; 32];
    context.rng().fill(&mut verifier);
    let challenge = code_challenge(&verifier);
    let listener = Listener::bind(context).await?;
    let request = ClientLoginRequest {
        api_version: ApiVersion::V1.into(),
        callback_port: listener.port.into(),
        callback_suffix: listener.suffix.clone(),
        code_challenge: challenge.to_vec(),
        shows_code: true,
    };
    let request = URL_SAFE_NO_PAD.encode(request.encode_to_vec());
    let url = format!("https://{domain}/login?octelium_req={request}");

    context
        .terminal
        .say("Please authenticate yourself using Octelium web Portal");
    lead(context, &url, &challenge, opening)?;
    context
        .terminal
        .say("Waiting for you to approve the login in your browser. Press Ctrl-C to cancel.");
    let waiting = listener.wait(domain, |response| token_of(&response, &challenge));
    let token = timeout(PATIENCE, waiting).await.map_err(|_| {
        timed_out("the login was not approved within five minutes")
            .hint("start it again; on a machine without a browser: octelium login --device")
    })?;
    Ok(Approved { token, verifier })
}

/// Waits until the User has verified with a passkey or a security key in a browser on this machine. Returns the
/// response of the authenticator as JSON.
///
/// # Errors
/// Returns a failure if the challenge of the Cluster is malformed, no port is free, or no response arrives within five
/// minutes.
pub(crate) async fn prove(
    context: &Context,
    domain: &str,
    asked: &Fido,
    opening: BrowserLaunch,
) -> Result<String, Failure> {
    let challenge = challenge_of(&asked.request)
        .ok_or_else(|| Failure::unavailable("the request of the Cluster cannot be read"))?;
    let listener = Listener::bind(context).await?;
    let url = format!(
        "https://{domain}/authenticators/program?port={}&suffix={}&state={}",
        listener.port, listener.suffix, asked.state
    );
    lead(context, &url, &challenge, opening)?;
    context
        .terminal
        .say("Waiting for your passkey or security key in the browser. Press Ctrl-C to cancel.");
    let waiting = listener.wait(domain, |response| String::from_utf8(response).ok());
    timeout(PATIENCE, waiting).await.map_err(|_| {
        timed_out("no passkey or security key was used within five minutes").hint("start it again")
    })
}

/// Extracts the challenge from a `PublicKeyCredentialRequestOptionsJSON`.
fn challenge_of(request: &str) -> Option<Vec<u8>> {
    let request: serde_json::Value = serde_json::from_str(request).ok()?;
    let challenge = URL_SAFE_NO_PAD.decode(request.get("challenge")?.as_str()?);
    challenge.ok().filter(|challenge| challenge.len() >= 4)
}

/// Opens `url` in the browser or prints it. Also prints a code that the page shows too, so that the User can compare.
fn lead(
    context: &Context,
    url: &str,
    challenge: &[u8],
    opening: BrowserLaunch,
) -> Result<(), Failure> {
    let terminal = &context.terminal;
    if let [a, b, c, d, ..] = challenge {
        terminal.say(&format!("Code: {a:02X}{b:02X}-{c:02X}{d:02X}"));
    }
    let is_open = opening == BrowserLaunch::Browser && open(url);
    if !is_open {
        terminal.say("Open this in a browser on this machine:");
        terminal.line(url)?;
    }
    Ok(())
}

fn timed_out(message: &str) -> Failure {
    Failure::new(Reason::Unavailable, "Timeout", message)
}

/// Listeners on the IPv4 and the IPv6 loopback address, with the same port.
struct Listener {
    port: u16,
    /// Random part of the callback path, unknown to other processes.
    suffix: String,
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
                    // Another process listens on this port, so it could receive the callback to `localhost`.
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                        last = Some(error);
                        sockets.clear();
                        break;
                    }
                    // Some machines have only one of the two addresses.
                    Err(error) => last = Some(error),
                }
            }
            if !sockets.is_empty() {
                return Ok(Self {
                    port,
                    suffix: random_string(context.rng(), SUFFIX_ALPHABET, SUFFIX_LENGTH),
                    sockets,
                });
            }
        }
        let error = last.map_or_else(String::new, |error| format!(": {error}"));
        Err(Failure::input(format!(
            "cannot listen on the loopback interface{error}"
        )))
    }

    /// Waits for the first response that `read` accepts, and returns its result.
    async fn wait<T>(&self, domain: &str, read: impl Fn(Vec<u8>) -> Option<T>) -> T {
        let path = format!("/callback/success/{}", self.suffix);
        loop {
            let Some(mut stream) = self.accept().await else {
                continue;
            };
            let answering = answer(&mut stream, &path, domain, &read);
            if let Ok(Some(taken)) = timeout(HEAD_PATIENCE, answering).await {
                return taken;
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

/// Answers one request. Returns `None` if it is not the expected callback.
async fn answer<T>(
    stream: &mut TcpStream,
    path: &str,
    domain: &str,
    read: impl Fn(Vec<u8>) -> Option<T>,
) -> Option<T> {
    let head = read_head(stream).await?;
    let taken = response_of(&head, path).and_then(read);
    let reply = if taken.is_some() {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: https://{domain}\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    } else {
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    };
    stream.write_all(reply.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    taken
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

/// Decodes the response in a `GET` request for the callback path.
fn response_of(head: &str, path: &str) -> Option<Vec<u8>> {
    let line = head.lines().next()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    let (sent, query) = target.split_once('?')?;
    if sent != path {
        return None;
    }
    let response = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("octelium_response="))?;
    URL_SAFE_NO_PAD.decode(response).ok()
}

/// Returns the token if the response contains the challenge that was sent.
fn token_of(response: &[u8], challenge: &[u8]) -> Option<SecretString> {
    let response = ClientLoginResponse::decode(response).ok()?;
    let is_ours = response.code_challenge == challenge && !response.authentication_token.is_empty();
    is_ours.then(|| SecretString::from(response.authentication_token))
}

/// Opens the browser. Returns `false` if it cannot be started.
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
    // The URL contains no secret, so it can be an argument.
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
        let response = response_of(&head, PATH)?;
        token_of(&response, &CHALLENGE).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn w08_only_the_expected_callback_is_accepted() {
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
