//! The command `token inspect`.

use clap::{Args, Subcommand};
use domain::{clock::Clock as _, token::TokenType};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    context::Context,
    failure::{Failure, Outcome},
    input,
    output::{self, Format, OutputArgs},
};

/// Inspect tokens
#[derive(Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    Inspect(InspectArgs),
}

/// Show the claims of a token. Does not verify the token or print its secret part
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl token inspect - < token.txt")]
struct InspectArgs {
    /// Token, or `-` to read it from standard input [default: -]
    #[arg(default_value = "-", hide_default_value = true)]
    token: String,
    /// File with the token, such as `token.txt`
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    file: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the claims of a token, offline.
pub(crate) fn run(context: &Context, args: TokenArgs) -> Result<Outcome, Failure> {
    let TokenCommand::Inspect(args) = args.command;
    let token = match &args.file {
        Some(path) => input::read_secret(path)?,
        None if args.token == "-" => input::read_secret("-")?,
        None => SecretString::from(args.token.trim()),
    };
    let claims = domain::token::inspect(token.expose_secret()).map_err(|error| {
        Failure::input(error.to_string())
            .hint("a token begins with `AQ` and is copied whole, without line breaks or quotes")
    })?;
    let now = domain::clock::SystemClock.now();
    let (token_type, of) = match claims.token_type {
        TokenType::Access => ("access token", "Session"),
        TokenType::Refresh => ("refresh token", "Session"),
        TokenType::Credential => ("authentication token or client secret", "Credential"),
    };
    let mut value = serde_json::json!({
        "type": token_type,
        "keyID": claims.key_id.to_string(),
        "subject": { "kind": of, "uid": claims.subject.to_string() },
        "tokenID": claims.token_id.to_string(),
        "clusterUID": claims.audience.to_string(),
        "credentialVersion": claims.credential_version,
        "isExpired": claims.check_expiry(now).is_err(),
        "isVerified": false,
    });
    if let (Some(expires_at), Some(fields)) = (claims.expires_at, value.as_object_mut()) {
        fields.insert("expiresAt".to_owned(), expires_at.to_string().into());
    }
    output::value(context, &value, &args.output.output.unwrap_or(Format::Yaml))?;
    Ok(Outcome::Done)
}
