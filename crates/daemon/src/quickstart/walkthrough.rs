//! The output of the quickstart: an allowed request, a denied request, and commands to try next.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::connection::Connector;
use crate::{names::Names, running::Instance};

/// The two responses, and the values for the commands.
pub(crate) struct Walkthrough<'a> {
    instance: &'a Instance,
    client_file: PathBuf,
    allowed: Response<Bytes>,
    denied: Response<Bytes>,
}

/// Gets an access token as the workload and sends two requests with it.
///
/// # Errors
///
/// Returns an error if the token is refused, or if the responses do not match the Policy.
pub(crate) async fn run<'a>(
    instance: &'a Instance,
    connector: &Connector,
    client_file: PathBuf,
) -> anyhow::Result<Walkthrough<'a>> {
    let names = instance.names();
    let token = access_token(names, connector, &client_file).await?;
    let service = Requests {
        host: format!("demo.{}", names.domain().host()),
        url: format!("https://{}/hello", names.below("demo")),
        token,
        connector,
    };
    let allowed = service.send(Method::GET).await?;
    let denied = service.send(Method::POST).await?;
    ensure!(
        allowed.status() == StatusCode::OK && denied.status() == StatusCode::FORBIDDEN,
        "the response to GET was {}, to POST {}: the Policy or the Service was changed",
        allowed.status(),
        denied.status()
    );
    Ok(Walkthrough {
        instance,
        client_file,
        allowed,
        denied,
    })
}

struct Requests<'a> {
    host: String,
    url: String,
    token: String,
    connector: &'a Connector,
}

impl Requests<'_> {
    async fn send(&self, method: Method) -> anyhow::Result<Response<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(&self.url)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(Bytes::new()))?;
        self.connector.send(&self.host, request).await
    }
}

/// Gets a token with the client credentials grant (RFC 6749 §4.4) and HTTP Basic (§2.3.1).
async fn access_token(
    names: &Names,
    connector: &Connector,
    client_file: &Path,
) -> anyhow::Result<String> {
    let client = fs::read_to_string(client_file)
        .ok()
        .and_then(|text| Some(text.split('"').nth(1)?.to_owned()))
        .with_context(|| format!("{} is not as it was written", client_file.display()))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/oauth2/token", names.domain().url()))
        .header(
            header::AUTHORIZATION,
            format!("Basic {}", STANDARD.encode(client)),
        )
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from_static(
            b"grant_type=client_credentials",
        )))?;
    let response = connector.send(names.domain().host(), request).await?;
    let status = response.status();
    let reply: serde_json::Value = serde_json::from_slice(response.body())
        .with_context(|| format!("token endpoint: {status}"))?;
    let token = reply.get("access_token").and_then(|token| token.as_str());
    token.map(str::to_owned).with_context(|| {
        let error = reply.get("error_description").or(reply.get("error"));
        format!(
            "token endpoint: {status} {}; remove {} for a new secret",
            error.and_then(|error| error.as_str()).unwrap_or_default(),
            client_file.display()
        )
    })
}

impl Walkthrough<'_> {
    /// Writes the output for people.
    ///
    /// # Errors
    ///
    /// Returns an error if `out` fails.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let names = self.instance.names();
        let domain = names.domain().authority();
        let url = format!("https://{}", names.below("demo"));
        let listen = self.instance.address();
        let demo = format!("demo.{}", names.domain().host());
        let data_dir = self.instance.data_dir();
        let ca = data_dir.join("ca.pem");
        let root_token = data_dir.join("root-token");
        let (ca, root_token) = (quoted(&ca), quoted(&root_token));
        let client = quoted(&self.client_file);
        let port = listen.port();
        let ctl = octeliumctl();
        writeln!(
            out,
            "Workload quickstart-workload, as OAuth2 client quickstart-client, behind Policy quickstart-read-only:"
        )?;
        writeln!(out, "  GET  {url}/hello -> {}", self.allowed.status())?;
        writeln!(out, "  POST {url}/hello -> {}", self.denied.status())?;
        write!(
            out,
            r#"
Serving at https://{listen}, state in {data}. Stop with Ctrl-C; the next run continues with this state.

Try, in another terminal in this directory:

  export OCTELIUM_DOMAIN={domain} OCTELIUM_CA_CERT={ca}

  # The workload: get an access token, then send requests. The Policy allows only GET.
  TOKEN=$(curl -s --cacert {ca} --config {client} -d grant_type=client_credentials https://{domain}/oauth2/token | sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')
  curl --cacert {ca} --resolve {demo}:{port}:127.0.0.1 -H "Authorization: Bearer $TOKEN" {url}/hello
  curl --cacert {ca} --resolve {demo}:{port}:127.0.0.1 -H "Authorization: Bearer $TOKEN" -X POST {url}/hello

  # The administrator: list the Services and the audit events, and create another Credential.
  {ctl} login --auth-token-file {root_token}
  {ctl} get service
  {ctl} get audit
  {ctl} create credential --user quickstart-workload --type access-token my-token
"#,
            data = quoted(data_dir),
        )
    }
}

/// Returns the `octeliumctl` beside this program, or else the command that builds and runs it.
fn octeliumctl() -> String {
    let sibling = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name("octeliumctl"))
        .filter(|path| path.exists());
    sibling.map_or_else(
        || "cargo run --release --bin octeliumctl --".to_owned(),
        |path| quoted(&path),
    )
}

/// Quotes a path for the shell. The path is relative if it is below the current directory.
fn quoted(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path);
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let text = if path.components().count() == 1 || path.is_relative() && !text.starts_with('.') {
        format!("./{text}")
    } else {
        text
    };
    if text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
