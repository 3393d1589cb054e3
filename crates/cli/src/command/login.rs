//! The command `login`.

pub(crate) mod browser;
mod device;

use std::path::Path;

use api::user_v1::{GetStatusRequest, get_status_response::user::spec::Type};
use clap::Args;
use secrecy::SecretString;

use crate::{
    assertion::Source,
    client::{Client, Proof, Repeat},
    command::auth,
    context::Context,
    failure::{Failure, Outcome, Reason},
    input,
    text::printable,
};

use browser::BrowserLaunch;

/// Log in to the Cluster
#[derive(Args)]
#[command(
    after_help = "Example:\n  octelium login --domain example.com --auth-token-file token.txt"
)]
pub(crate) struct LoginArgs {
    /// Authentication token, or `-` to read it from standard input [env: `OCTELIUM_AUTH_TOKEN`]
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["auth_token_file", "web", "assertion"])]
    auth_token: Option<String>,
    /// File with the authentication token, such as `token.txt`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["web", "assertion"])]
    auth_token_file: Option<String>,
    /// Log in with a browser on this machine [default on a terminal, if no other method is given]
    #[arg(long, conflicts_with = "assertion")]
    web: bool,
    /// Log in with a browser like --web, but print the URL instead of opening the browser
    #[arg(long, conflicts_with_all = ["assertion", "auth_token", "auth_token_file"])]
    no_browser: bool,
    /// Log in on a machine without a browser: show a code to enter on another device
    #[arg(long, conflicts_with_all = ["web", "no_browser", "assertion", "auth_token", "auth_token_file"])]
    device: bool,
    /// Log in as a workload with a token of its platform: `[IDP:]TYPE[:key=value,…]`, with a TYPE of k8s, kubernetes,
    /// azure, github-actions or jwt, such as `ci:github-actions` [env: `OCTELIUM_AUTH_ASSERTION`]
    #[arg(long, value_name = "ASSERTION")]
    assertion: Option<String>,
    /// Restrict the Session to scopes (repeatable, or separated by commas), such as `service:*,api:core`
    /// [default: unrestricted]
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    scope: Vec<String>,
}

/// Creates a Session and ends the previous one.
pub(crate) async fn run(context: &Context, args: LoginArgs) -> Result<Outcome, Failure> {
    domain::scope::parse(&args.scope).map_err(|error| Failure::usage(error.to_string()))?;

    let token = match (&args.auth_token, &args.auth_token_file) {
        (Some(path), _) if path == "-" => Some(input::read_secret(path)?),
        (_, Some(path)) => Some(input::read_secret(path)?),
        (Some(token), None) => Some(SecretString::from(token.trim())),
        (None, None) => context
            .environment
            .get("OCTELIUM_AUTH_TOKEN")
            .map(|token| SecretString::from(token.trim())),
    };
    let of_environment = context.environment.get("OCTELIUM_AUTH_ASSERTION");
    let proof = match (&args.assertion, token, of_environment) {
        (Some(assertion), _, _) => Some(Proof::Assertion(Source::parse(assertion)?)),
        (None, Some(token), _) => Some(Proof::Token(token)),
        (None, None, Some(assertion)) => Some(Proof::Assertion(Source::parse(assertion)?)),
        (None, None, None) => None,
    };
    if context.environment.get("OCTELIUM_ACCESS_TOKEN").is_some() {
        context
            .terminal
            .warn("OCTELIUM_ACCESS_TOKEN is set and is used instead of the login");
    }
    let opening = match (args.web, args.no_browser) {
        (_, true) => Some(BrowserLaunch::ByHand),
        (true, false) => Some(BrowserLaunch::Browser),
        (false, false) => None,
    };
    let client = Client::connect(context).await?;
    if args.device {
        let token = device::approve(context, &client, &args.scope).await?;
        client.take_over(token).await?;
        return welcome(context, &client).await;
    }
    if let Some(opening) = opening {
        return by_browser(context, &client, opening, args.scope).await;
    }
    if let Some(proof) = &proof {
        client.log_in(proof, args.scope).await?;
        return match proof {
            Proof::Assertion(_) => greet(context, &client, true).await.map(|_| Outcome::Done),
            Proof::Token(_) | Proof::Approved(_) => welcome(context, &client).await,
        };
    }
    let is_attended = context.terminal.is_attended();
    if !args.scope.is_empty() {
        if is_attended {
            return by_browser(context, &client, BrowserLaunch::Browser, args.scope).await;
        }
        return Err(Failure::usage("--scope requires a new login").hint(
            "log in with a browser: --web; or with an authentication token: --auth-token - reads it from standard input",
        ));
    }
    // Without a credential, this only reports whether the User is logged in.
    match greet(context, &client, false).await {
        Err(failure) if failure.reason == Reason::AuthenticationNeeded && is_attended => {
            by_browser(context, &client, BrowserLaunch::Browser, args.scope).await
        }
        outcome => outcome.map(|_| Outcome::Done),
    }
}

async fn by_browser(
    context: &Context,
    client: &Client,
    opening: BrowserLaunch,
    scopes: Vec<String>,
) -> Result<Outcome, Failure> {
    let approved = browser::approve(context, client.domain(), opening).await?;
    client.log_in(&Proof::Approved(approved), scopes).await?;
    welcome(context, client).await
}

/// Reports the login and registers the machine of a person as a Device. If the Session requires the TPM of this
/// machine, performs the step-up. The login succeeds even if one of these steps fails.
async fn welcome(context: &Context, client: &Client) -> Result<Outcome, Failure> {
    let user_type = greet(context, client, true).await?;
    if user_type != Type::Human || !has_device(context) {
        return Ok(Outcome::Done);
    }
    if let Err(failure) = auth::device::register(context, client).await {
        let why = printable(&failure.message);
        context.terminal.warn(&format!(
            "this machine is not registered as a Device: {why}"
        ));
    }
    if let Err(failure) = client.step_up_with_main_authenticator().await {
        let why = printable(&failure.message);
        context
            .terminal
            .warn(&format!("the step-up with the TPM failed: {why}"));
    }
    Ok(Outcome::Done)
}

/// Guesses whether this machine belongs to a person.
fn has_device(context: &Context) -> bool {
    let environment = &context.environment;
    match environment.get("OCTELIUM_REGISTER_DEVICE") {
        Some("true") => true,
        Some("false") => false,
        _ => cfg!(target_os = "linux") && !environment.is_workload_host(Path::new("/")),
    }
}

/// Reports the logged-in User and returns its type, or `Unknown` if the status cannot be read.
async fn greet(context: &Context, client: &Client, logged_in: bool) -> Result<Type, Failure> {
    let answer = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().get_status(GetStatusRequest {}).await
        })
        .await;
    let status = match answer {
        Ok(answer) => answer.into_inner(),
        // The scope or a Policy may deny the status call. The login is successful anyway.
        Err(_) if logged_in => {
            context.terminal.say("You are now authenticated");
            return Ok(Type::Unknown);
        }
        Err(failure) => return Err(failure),
    };
    let user = status.user.unwrap_or_default();
    let user_type = user.spec.map(|spec| spec.r#type()).unwrap_or_default();
    let metadata = user.metadata.unwrap_or_default();
    let mut name = metadata.name;
    if !metadata.display_name.is_empty() {
        name = format!("{name} ({})", metadata.display_name);
    }
    let adverb = if logged_in { "now" } else { "already" };
    let text = format!("You are {adverb} authenticated as {name}");
    context.terminal.say(&printable(&text));
    Ok(user_type)
}
