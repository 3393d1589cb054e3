//! Login on a machine without a browser: it shows a code to enter on another device (RFC 8628).

use std::time::Duration;

use api::auth_v1::SessionToken;
use http::StatusCode;
use serde_json::Value;

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Reason},
};

const CLIENT_ID: (&str, &str) = ("client_id", "octelium-cli");
const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
/// Increase of the polling interval if the Cluster answers `slow_down` (§3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// Waits until a User approves this machine.
///
/// # Errors
/// Returns a failure if the User denies the login or the code expires.
pub(crate) async fn approve(
    context: &Context,
    client: &Client,
    scopes: &[String],
) -> Result<SessionToken, Failure> {
    let scope = scopes.join(" ");
    let mut form = vec![CLIENT_ID];
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    let (status, asked) = client.post("/oauth2/device_authorization", &form).await?;
    if status != StatusCode::OK {
        return Err(refused(&asked));
    }
    let text = |name: &str| text(&asked, name);
    let (device_code, uri) = (text("device_code"), text("verification_uri"));
    let terminal = &context.terminal;
    terminal.say("Open this address on any device with a browser, and enter the code:");
    terminal.line(&format!("{uri}\nCode: {}", text("user_code")))?;
    terminal.say("Waiting for you to approve the login. Press Ctrl-C to cancel.");

    let seconds = |name: &str, default| {
        Duration::from_secs(
            asked
                .get(name)
                .and_then(Value::as_u64)
                .unwrap_or(default)
                .max(1),
        )
    };
    let deadline = tokio::time::Instant::now() + seconds("expires_in", 600);
    let mut interval = seconds("interval", 5);
    let form = [CLIENT_ID, GRANT, ("device_code", &*device_code)];
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(interval).await;
        let (status, answer) = client.post("/oauth2/token", &form).await?;
        match answer.get("error").and_then(Value::as_str) {
            None if status == StatusCode::OK => return token(&answer),
            Some("authorization_pending" | "temporarily_unavailable") => {}
            Some("slow_down") => interval += SLOWER,
            _ => return Err(refused(&answer)),
        }
    }
    Err(Failure::new(
        Reason::Unavailable,
        "Timeout",
        "the login was not approved in time",
    )
    .hint("start it again"))
}

fn token(answer: &Value) -> Result<SessionToken, Failure> {
    let seconds = |name: &str| answer.get(name).and_then(Value::as_i64).unwrap_or_default();
    let token = SessionToken {
        access_token: text(answer, "access_token"),
        refresh_token: text(answer, "refresh_token"),
        expires_in: seconds("expires_in"),
        refresh_token_expires_in: seconds("refresh_token_expires_in"),
    };
    if token.access_token.is_empty() {
        return Err(Failure::unavailable(
            "the response of the Cluster has no token",
        ));
    }
    Ok(token)
}

fn text(answer: &Value, name: &str) -> String {
    let text = answer.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn refused(answer: &Value) -> Failure {
    let error = text(answer, "error");
    let reason = match error.as_str() {
        "access_denied" => Reason::Denied,
        "expired_token" => Reason::Unavailable,
        _ => Reason::Failed,
    };
    let described = text(answer, "error_description");
    let what = [described, error].into_iter().find(|text| !text.is_empty());
    let what = what.unwrap_or_else(|| "the Cluster gave no reason".to_owned());
    Failure::new(
        reason,
        "DeviceLogin",
        format!("the login was refused: {what}"),
    )
}
