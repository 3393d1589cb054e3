//! The command `auth create authenticator`.

use api::auth_v1::{
    Authenticator, ChallengeResponse, CreateAuthenticatorRequest,
    RegisterAuthenticatorBeginRequest, RegisterAuthenticatorFinishRequest,
    authenticator::status::Type,
    challenge_response::{self, Totp},
    register_authenticator_begin_request::{PreChallenge, pre_challenge},
    register_authenticator_begin_response::challenge_request,
};
use clap::{Args, ValueEnum};
use qrcode::{QrCode, render::unicode::Dense1x2};
use secrecy::zeroize::Zeroizing;

use super::{authenticate, delete, name_of};
use crate::{
    client::{
        Client,
        authenticators::{failure, open_tpm, reference},
    },
    context::Context,
    failure::{Failure, Outcome},
    text::printable,
};

/// Arguments of `auth create authenticator`.
#[derive(Args)]
pub(super) struct CreateAuthenticatorArgs {
    /// Type of the Authenticator, such as `totp`
    #[arg(long, value_enum)]
    r#type: Kind,
    /// Display name, such as `phone`
    #[arg(long, value_name = "TEXT", default_value = "")]
    display_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Authenticator app with one-time codes
    Totp,
    /// TPM 2.0 of this machine
    Tpm,
}

pub(super) async fn run(
    context: &Context,
    args: CreateAuthenticatorArgs,
) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    // Opens the TPM first, so that no Authenticator is created on a machine without one.
    let mut tpm = match args.r#type {
        Kind::Tpm => Some(open_tpm(&context.environment)?),
        Kind::Totp => None,
    };
    let r#type = match args.r#type {
        Kind::Totp => Type::Totp,
        Kind::Tpm => Type::Tpm,
    };
    let created = client
        .call_auth(async |mut auth| {
            auth.create_authenticator(CreateAuthenticatorRequest {
                r#type: r#type.into(),
                display_name: args.display_name.clone(),
            })
            .await
        })
        .await?;
    let name = printable(name_of(&created));
    context.terminal.say(&format!(
        "Authenticator {name} is now created. Registering it... "
    ));
    let registered = match &mut tpm {
        Some(tpm) => register_tpm(&client, &created, tpm).await,
        None => register_totp(context, &client, &created).await,
    };
    if let Err(failure) = registered {
        // Removes the half-created Authenticator.
        if delete(&client, name_of(&created)).await.is_err() {
            context.terminal.warn(&format!(
                "{name} is not registered and is removed in an hour"
            ));
        }
        return Err(failure);
    }
    context.terminal.say("Authenticator is now registered");
    Ok(Outcome::Done)
}

async fn register_totp(
    context: &Context,
    client: &Client,
    created: &Authenticator,
) -> Result<(), Failure> {
    let challenge = begin(client, created, None).await?;
    let challenge_request::Type::Totp(challenge) = challenge else {
        return Err(unexpected());
    };
    let url = Zeroizing::new(challenge.url);
    show(context, &url)?;
    let code = authenticate::ask_code(context, "Enter the OTP that the app shows: ")?;
    let answer = challenge_response::Type::Totp(Totp {
        response: code.to_string(),
    });
    finish(client, created, answer).await
}

async fn register_tpm(
    client: &Client,
    created: &Authenticator,
    tpm: &mut crate::tpm::Tpm,
) -> Result<(), Failure> {
    let sent = tpm.register().map_err(|error| failure(&error))?;
    let pre_challenge = PreChallenge {
        r#type: Some(pre_challenge::Type::Tpm(sent)),
    };
    let challenge = begin(client, created, Some(pre_challenge)).await?;
    let challenge_request::Type::Tpm(challenge) = challenge else {
        return Err(unexpected());
    };
    let encrypted = challenge.encrypted_credential.unwrap_or_default();
    let answer = tpm
        .answer(
            &challenge.ak_bytes,
            &encrypted.credential,
            &encrypted.secret,
            challenge.quote_request.as_ref(),
        )
        .map_err(|error| failure(&error))?;
    finish(client, created, challenge_response::Type::Tpm(answer)).await
}

async fn begin(
    client: &Client,
    created: &Authenticator,
    pre_challenge: Option<PreChallenge>,
) -> Result<challenge_request::Type, Failure> {
    let begun = client
        .call_auth(async |mut auth| {
            auth.register_authenticator_begin(RegisterAuthenticatorBeginRequest {
                authenticator_ref: Some(reference(created)),
                pre_challenge: pre_challenge.clone(),
            })
            .await
        })
        .await?;
    let challenge = begun.challenge_request.and_then(|one| one.r#type);
    challenge.ok_or_else(unexpected)
}

async fn finish(
    client: &Client,
    created: &Authenticator,
    answer: challenge_response::Type,
) -> Result<(), Failure> {
    client
        .call_auth(async |mut auth| {
            auth.register_authenticator_finish(RegisterAuthenticatorFinishRequest {
                authenticator_ref: Some(reference(created)),
                challenge_response: Some(ChallengeResponse {
                    r#type: Some(answer.clone()),
                }),
            })
            .await
        })
        .await
        .map(|_| ())
}

/// Shows the secret, which the Cluster returns only once: as QR code on a terminal, else as URL on standard output.
fn show(context: &Context, url: &str) -> Result<(), Failure> {
    if !context.terminal.is_attended() {
        return context.terminal.line(url);
    }
    if let Ok(code) = QrCode::new(url) {
        // Sets foreground and background of each character, so that the code is readable in any color scheme.
        let picture = code
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build();
        for line in picture.lines() {
            context
                .terminal
                .say(&format!("\u{1b}[40;97m{line}\u{1b}[0m"));
        }
    }
    let secret = url
        .split(['?', '&'])
        .find_map(|field| field.strip_prefix("secret="));
    context.terminal.say(&format!(
        "Scan the code with your app, or enter this secret in the app: {}",
        printable(secret.unwrap_or(url))
    ));
    Ok(())
}

fn unexpected() -> Failure {
    Failure::unavailable("the Cluster requires a step that this client does not support")
        .hint("update the client")
}
