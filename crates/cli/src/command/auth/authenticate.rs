//! The command `auth authenticator`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use api::auth_v1::{
    AuthenticateAuthenticatorBeginRequest, AuthenticateWithAuthenticatorRequest, Authenticator,
    ChallengeResponse, GetAvailableAuthenticatorRequest,
    authenticate_authenticator_begin_response::challenge_request,
    challenge_response::{self, Fido, Totp},
};
use clap::Args;
use secrecy::zeroize::Zeroizing;

use super::{find, name_of};
use crate::{
    client::{
        Client,
        authenticators::{answer, reference},
    },
    command::login::browser::{self, BrowserLaunch},
    context::Context,
    failure::{Failure, Outcome},
    text::printable,
};

/// Maximum length of a typed code, in bytes.
const LONGEST_CODE: u64 = 64;

/// Arguments of `auth authenticator`.
#[derive(Args)]
pub(super) struct AuthenticateArgs {
    /// Name of the Authenticator, such as `totp-abcdef` [default: the only one that can be used]
    name: Option<String>,
    /// Print the URL for a passkey or security key instead of opening a browser
    #[arg(long)]
    no_browser: bool,
}

pub(super) async fn run(context: &Context, args: AuthenticateArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let authenticator = match &args.name {
        Some(name) => find(&client, name).await?,
        None => the_one(&client).await?,
    };
    let authenticator_ref = Some(reference(&authenticator));
    let begun = client
        .call_auth(async |mut auth| {
            auth.authenticate_authenticator_begin(AuthenticateAuthenticatorBeginRequest {
                authenticator_ref: authenticator_ref.clone(),
            })
            .await
        })
        .await;
    let begun = match begun {
        Ok(begun) => begun,
        // The Session was stepped up a moment ago.
        Err(failure) if failure.code == "AlreadyExists" => return Ok(Outcome::Done),
        Err(failure) => return Err(failure),
    };
    let response = match begun.challenge_request.and_then(|one| one.r#type) {
        Some(challenge_request::Type::Totp(_)) => ChallengeResponse {
            r#type: Some(challenge_response::Type::Totp(Totp {
                response: ask_code(context, "Enter the OTP: ")?.to_string(),
            })),
        },
        Some(challenge_request::Type::Tpm(challenge)) => answer(&challenge, &context.environment)?,
        Some(challenge_request::Type::Fido(challenge)) if !challenge.state.is_empty() => {
            let domain = client.domain();
            let opening = if args.no_browser {
                BrowserLaunch::ByHand
            } else {
                BrowserLaunch::Browser
            };
            let response = browser::prove(context, domain, &challenge, opening).await?;
            ChallengeResponse {
                r#type: Some(challenge_response::Type::Fido(Fido {
                    response,
                    state: challenge.state,
                })),
            }
        }
        Some(challenge_request::Type::Fido(_)) | None => {
            return Err(Failure::unavailable(
                "the Cluster requires a step that this client does not support",
            )
            .hint("update the client"));
        }
    };
    let token = client
        .call_auth(async |mut auth| {
            auth.authenticate_with_authenticator(AuthenticateWithAuthenticatorRequest {
                authenticator_ref: authenticator_ref.clone(),
                challenge_response: Some(response.clone()),
            })
            .await
        })
        .await?;
    client.save_step_up_tokens(token).await?;
    Ok(Outcome::Done)
}

/// Returns the required Authenticator, or the only available one.
async fn the_one(client: &Client) -> Result<Authenticator, Failure> {
    let available = client
        .call_auth(async |mut auth| {
            let request = GetAvailableAuthenticatorRequest {};
            auth.get_available_authenticator(request).await
        })
        .await?;
    if let Some(main) = available.main_authenticator {
        return Ok(main);
    }
    let mut all = available.available_authenticators.into_iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(
            Failure::usage("you have no Authenticator that can be used here")
                .hint("octelium auth create authenticator --type totp"),
        ),
        (Some(one), Some(other)) => Err(Failure::usage(format!(
            "there are several Authenticators: name one, such as {} or {}",
            printable(name_of(&one)),
            printable(name_of(&other))
        ))),
    }
}

/// Reads a code from the terminal, or from standard input if it is not a terminal.
///
/// The code is never an argument, because other users of the machine can read arguments.
///
/// # Errors
/// Returns a failure if no code is given.
pub(super) fn ask_code(context: &Context, prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let code = if io::stdin().is_terminal() {
        Zeroizing::new(context.terminal.secret(prompt, "")?)
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin()
            .lock()
            .take(LONGEST_CODE)
            .read_line(&mut line)
            .map_err(|error| Failure::input(format!("<stdin>: {error}")))?;
        line
    };
    let code = Zeroizing::new(code.trim().to_owned());
    if code.is_empty() {
        return Err(Failure::usage("no code is given")
            .hint("enter it at the prompt, or pass it on standard input"));
    }
    Ok(code)
}
