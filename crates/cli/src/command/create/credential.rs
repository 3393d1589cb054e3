//! The command `create credential`.

use api::{
    core_v1::{
        self, CredentialToken, GenerateCredentialTokenRequest,
        credential::spec::{Authorization, Type},
        credential_token::Type as Token,
        session::status::Type as SessionType,
    },
    meta_v1::{self, ObjectReference},
    platform_v1::RotateCredentialRequest,
    reflect,
    resource::Object as _,
};
use clap::{Args, ValueEnum};
use domain::rng::random_string;

use super::named;
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs},
    remote,
};

/// Create a Credential of a User and print its secret, or rotate an existing one
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl create credential --user microservice1 --expire-in 6months cred01\n  octeliumctl create credential --rotate --overlap 24h cred01"
)]
pub(crate) struct CredentialArgs {
    /// Name of the Credential, such as `cred01` [default: generated from User and type]
    name: Option<String>,
    /// User that the Credential authenticates, such as `microservice1`
    #[arg(long, value_name = "USER", required_unless_present = "rotate")]
    user: Option<String>,
    /// Type: a token to log in with, an OAuth2 client, or a bearer token [default: auth-token]
    #[arg(long, value_enum, ignore_case = true, value_name = "TYPE")]
    r#type: Option<CredentialType>,
    /// Type of the Sessions that the Credential creates
    #[arg(long, value_enum, ignore_case = true, value_name = "TYPE")]
    session_type: Option<SessionKind>,
    /// Lifetime, such as 600seconds, 45minutes, 7hour, 3days, 2weeks or 6months
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
    /// Limit the Credential to one authentication
    #[arg(long, conflicts_with = "max_authn")]
    one_time: bool,
    /// Limit the number of times the Credential can be used, such as 10 [default: unlimited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_authn: Option<u32>,
    /// Attach Policies to the Sessions that it creates: repeatable, or separated by commas, such as
    /// `read-only,office-hours` [default: none]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<String>,
    /// Replace the secret and end the Sessions that the old secret created
    #[arg(
        long,
        requires = "name",
        conflicts_with_all = ["user", "type", "session_type", "expire_in", "one_time", "max_authn", "policy"]
    )]
    rotate: bool,
    /// Keep the Sessions that the old secret created (with --rotate)
    #[arg(long, requires = "rotate", conflicts_with = "overlap")]
    keep_sessions: bool,
    /// Time that the old secret and its Sessions stay valid, such as 24h (with --rotate) [default: none]
    #[arg(long, requires = "rotate", value_name = "DURATION")]
    overlap: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CredentialType {
    AuthToken,
    #[value(name = "oauth2")]
    Oauth2,
    AccessToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SessionKind {
    Client,
    Clientless,
}

/// Creates or rotates a Credential and prints its secret.
pub(crate) async fn run(context: &Context, args: CredentialArgs) -> Result<Outcome, Failure> {
    if args.output.output == Some(Format::Name) {
        return Err(Failure::usage(
            "-o name would not show the secret, which is shown once",
        ));
    }
    if args.rotate {
        return rotate(context, &args).await;
    }
    let credential = args.credential(context)?;
    let name = credential.name().to_owned();
    let client = Client::connect(context).await?;
    let created = remote::create(&client, credential.into_resource()).await?;
    created.warn(&context.terminal);
    let token = client
        .call(Repeat::Unsafe, async |rpc| {
            let request = GenerateCredentialTokenRequest {
                credential_ref: Some(reference(&name)),
            };
            rpc.core().generate_credential_token(request).await
        })
        .await
        .map_err(|failure| {
            let hint = format!(
                "the Credential {name} was created without a secret; create one with octeliumctl create cred --rotate \
                 {name}"
            );
            failure.hint(hint)
        })?
        .into_inner();
    if args.output.output.is_none() {
        context
            .terminal
            .say(&format!("Credential {name} successfully created"));
    }
    print(context, &token, args.output.output.as_ref())
}

async fn rotate(context: &Context, args: &CredentialArgs) -> Result<Outcome, Failure> {
    let name = args.name.as_deref().unwrap_or_default();
    let now = context.now();
    let overlap = args
        .overlap
        .as_deref()
        .map(|text| {
            domain::duration::parse_expire_in(text, now)
                .map(|until| domain::duration::to_proto(until.since(now)))
                .map_err(|error| Failure::usage(format!("--overlap: {error}")))
        })
        .transpose()?;
    let client = Client::connect(context).await?;
    let token = if args.keep_sessions || overlap.is_some() {
        rotate_with_overlap(&client, name, args.keep_sessions, overlap).await?
    } else {
        client
            .call(Repeat::Unsafe, async |rpc| {
                let request = GenerateCredentialTokenRequest {
                    credential_ref: Some(reference(name)),
                };
                rpc.core().generate_credential_token(request).await
            })
            .await?
            .into_inner()
    };
    if args.output.output.is_none() {
        context
            .terminal
            .say(&format!("Credential {name} successfully rotated"));
    }
    print(context, &token, args.output.output.as_ref())
}

async fn rotate_with_overlap(
    client: &Client,
    name: &str,
    keep_sessions: bool,
    overlap: Option<meta_v1::Duration>,
) -> Result<CredentialToken, Failure> {
    let answer = client
        .call(Repeat::Unsafe, async |rpc| {
            let request = RotateCredentialRequest {
                credential_ref: Some(reference(name)),
                keep_sessions,
                overlap,
            };
            rpc.platform().rotate_credential(request).await
        })
        .await?;
    Ok(answer.into_inner())
}

/// Prints the secret. The labels are the documented ones, because scripts parse them.
fn print(
    context: &Context,
    token: &CredentialToken,
    format: Option<&Format>,
) -> Result<Outcome, Failure> {
    // For one secret, the table formats are the same as no -o.
    if let Some(format) = format.filter(|format| !matches!(format, Format::Table | Format::Wide)) {
        if let Some(message) = reflect::dynamic(token) {
            output::message(context, &message, format)?;
        }
        return Ok(Outcome::Done);
    }
    let terminal = &context.terminal;
    match &token.r#type {
        Some(Token::AuthenticationToken(token)) => {
            terminal.line(&format!(
                "Authentication Token: {}",
                token.authentication_token
            ))?;
        }
        Some(Token::Oauth2Credentials(client)) => {
            terminal.line(&format!("Client ID: {}", client.client_id))?;
            terminal.line(&format!("Client Secret: {}", client.client_secret))?;
        }
        Some(Token::AccessToken(token)) => {
            terminal.line(&format!("Access Token: {}", token.access_token))?;
        }
        None => {
            return Err(Failure::input(
                "the Cluster returned a type of token that this client does not support",
            ));
        }
    }
    Ok(Outcome::Done)
}

impl CredentialArgs {
    fn credential(&self, context: &Context) -> Result<core_v1::Credential, Failure> {
        let user = self.user.clone().unwrap_or_default();
        let credential_type = self.r#type.unwrap_or(CredentialType::AuthToken);
        let session_type = match (credential_type, self.session_type) {
            (CredentialType::Oauth2, Some(SessionKind::Client)) => {
                return Err(Failure::usage(
                    "an OAuth2 client can create only CLIENTLESS Sessions",
                ));
            }
            (CredentialType::Oauth2, _) | (_, Some(SessionKind::Clientless)) => {
                SessionType::Clientless
            }
            (_, Some(SessionKind::Client) | None) => SessionType::Client,
        };
        let expires_at = self
            .expire_in
            .as_deref()
            .map(|text| {
                domain::duration::parse_expire_in(text, context.now())
                    .map_err(|error| Failure::usage(format!("--expire-in: {error}")))
            })
            .transpose()?;
        let name = self.name.clone().unwrap_or_else(|| {
            let suffix = random_string(context.rng(), b"abcdefghijklmnopqrstuvwxyz0123456789", 4);
            domain::name::of_credential(&user, credential_type.word(), &suffix)
        });
        Ok(core_v1::Credential {
            metadata: Some(named(&name)),
            spec: Some(core_v1::credential::Spec {
                r#type: credential_type.wire().into(),
                user,
                max_authentications: self.max_authn.unwrap_or(u32::from(self.one_time)),
                expires_at: expires_at.map(domain::clock::UnixMillis::to_proto),
                session_type: session_type.into(),
                authorization: (!self.policy.is_empty()).then(|| Authorization {
                    policies: self.policy.clone(),
                    inline_policies: Vec::new(),
                }),
                ..core_v1::credential::Spec::default()
            }),
            ..core_v1::Credential::default()
        })
    }
}

impl CredentialType {
    fn wire(self) -> Type {
        match self {
            Self::AuthToken => Type::AuthToken,
            Self::Oauth2 => Type::Oauth2,
            Self::AccessToken => Type::AccessToken,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::AuthToken => "auth-token",
            Self::Oauth2 => "oauth2",
            Self::AccessToken => "access-token",
        }
    }
}

fn reference(name: &str) -> ObjectReference {
    ObjectReference {
        name: name.to_owned(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_valid_also_for_long_users() {
        assert_eq!(
            domain::name::of_credential("microservice1", "auth-token", "a1b2"),
            "microservice1-auth-token-a1b2"
        );
        let long = format!("{}-b", "a".repeat(38));
        for credential_type in CredentialType::value_variants() {
            let name = domain::name::of_credential(&long, credential_type.word(), "a1b2");
            domain::name::check(&name, 1).unwrap();
        }
    }
}
