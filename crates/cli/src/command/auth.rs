//! The command `auth`: manages the User's Authenticators and registers this machine as a Device.

mod authenticate;
mod create;
pub(crate) mod device;

use api::{
    auth_v1::{Authenticator, ListAuthenticatorOptions},
    meta_v1::{DeleteOptions, GetOptions},
};
use clap::{Args, Subcommand};

use crate::{
    client::{Client, authenticators::type_of},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs, table},
    text::printable,
};

/// Manage your Authenticators, verify with one, and register this machine
#[derive(Args)]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Subcommand)]
enum AuthCommand {
    /// List or show your Authenticators
    Get(GetArgs),
    /// Add an Authenticator
    Create(CreateArgs),
    /// Rename an Authenticator
    Update(UpdateArgs),
    /// Delete an Authenticator
    #[command(visible_aliases = ["del", "rm"])]
    Delete(DeleteArgs),
    /// Verify with an Authenticator to step up the current Session
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octelium auth authenticator totp-abcdef"
    )]
    Authenticator(authenticate::AuthenticateArgs),
    /// Register this machine as a Device
    #[command(visible_alias = "dev", after_help = "Example:\n  octelium auth device")]
    Device(device::DeviceArgs),
}

#[derive(Args)]
struct GetArgs {
    #[command(subcommand)]
    target: GetTarget,
}

#[derive(Subcommand)]
enum GetTarget {
    /// List or show your Authenticators
    #[command(visible_aliases = ["authn", "authenticators"], after_help = "Example:\n  octelium auth get authenticator -o yaml")]
    Authenticator {
        /// Name of an Authenticator, such as `totp-abcdef` [default: list all]
        name: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Args)]
struct CreateArgs {
    #[command(subcommand)]
    target: CreateTarget,
}

#[derive(Subcommand)]
enum CreateTarget {
    /// Add a TPM or an authenticator app. Add passkeys and security keys in the browser
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octelium auth create authenticator --type totp --display-name phone"
    )]
    Authenticator(create::CreateAuthenticatorArgs),
}

#[derive(Args)]
struct UpdateArgs {
    #[command(subcommand)]
    target: UpdateTarget,
}

#[derive(Subcommand)]
enum UpdateTarget {
    /// Change the display name of an Authenticator
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octelium auth update authenticator totp-abcdef --display-name phone"
    )]
    Authenticator {
        /// Name of the Authenticator, such as `totp-abcdef`
        name: String,
        /// New display name, such as `phone`
        #[arg(long, value_name = "TEXT")]
        display_name: String,
    },
}

#[derive(Args)]
struct DeleteArgs {
    #[command(subcommand)]
    target: DeleteTarget,
}

#[derive(Subcommand)]
enum DeleteTarget {
    /// Delete an Authenticator and end the Sessions that it created
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octelium auth delete authenticator totp-abcdef"
    )]
    Authenticator {
        /// Name of the Authenticator, such as `totp-abcdef`
        name: String,
    },
}

/// Runs one of the subcommands.
pub(crate) async fn run(context: &Context, args: AuthArgs) -> Result<Outcome, Failure> {
    match args.command {
        AuthCommand::Get(GetArgs {
            target: GetTarget::Authenticator { name, output },
        }) => get(context, name, output).await,
        AuthCommand::Create(CreateArgs {
            target: CreateTarget::Authenticator(args),
        }) => create::run(context, args).await,
        AuthCommand::Update(UpdateArgs {
            target: UpdateTarget::Authenticator { name, display_name },
        }) => rename(context, &name, display_name).await,
        AuthCommand::Delete(DeleteArgs {
            target: DeleteTarget::Authenticator { name },
        }) => {
            let client = Client::connect(context).await?;
            delete(&client, &name).await?;
            Ok(Outcome::Done)
        }
        AuthCommand::Authenticator(args) => authenticate::run(context, args).await,
        AuthCommand::Device(args) => device::run(context, args).await,
    }
}

async fn get(
    context: &Context,
    name: Option<String>,
    args: OutputArgs,
) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    if let Some(name) = name {
        let found = find(&client, &name).await?;
        if let Some(message) = api::reflect::dynamic(&found) {
            let format = args.output.unwrap_or(Format::Yaml);
            output::message(context, &message, &format)?;
        }
        return Ok(Outcome::Done);
    }
    let list = client
        .call_auth(async |mut auth| {
            let options = ListAuthenticatorOptions::default();
            auth.list_authenticator(options).await
        })
        .await?;
    match args.output.unwrap_or(Format::Table) {
        Format::Table | Format::Wide if list.items.is_empty() => {
            context.terminal.say("No Authenticators Found");
        }
        format @ (Format::Table | Format::Wide) => {
            let is_wide = format.is_wide();
            let mut header = vec!["NAME", "DISPLAY NAME", "TYPE"];
            if is_wide {
                header.extend(["REGISTERED", "DESCRIPTION"]);
            }
            let mut rows = vec![header.into_iter().map(str::to_owned).collect()];
            rows.extend(list.items.iter().map(|item| row(item, is_wide)));
            context.terminal.data(&table::render(&rows))?;
        }
        Format::Name => {
            for item in &list.items {
                context.terminal.line(&printable(name_of(item)))?;
            }
        }
        format => {
            if let Some(value) = output::list_value(&list) {
                output::value(context, &value, &format)?;
            }
        }
    }
    Ok(Outcome::Done)
}

async fn rename(context: &Context, name: &str, display_name: String) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let mut renamed = find(&client, name).await?;
    renamed.spec.get_or_insert_default().display_name = display_name;
    client
        .call_auth(async |mut auth| auth.update_authenticator(renamed.clone()).await)
        .await?;
    Ok(Outcome::Done)
}

/// Gets one of the User's own Authenticators by name.
async fn find(client: &Client, name: &str) -> Result<Authenticator, Failure> {
    client
        .call_auth(async |mut auth| {
            auth.get_authenticator(GetOptions {
                name: name.to_owned(),
                ..GetOptions::default()
            })
            .await
        })
        .await
}

async fn delete(client: &Client, name: &str) -> Result<(), Failure> {
    let deleted = client.call_auth(async |mut auth| {
        auth.delete_authenticator(DeleteOptions {
            name: name.to_owned(),
            ..DeleteOptions::default()
        })
        .await
    });
    deleted.await.map(|_| ())
}

fn name_of(authenticator: &Authenticator) -> &str {
    authenticator
        .metadata
        .as_ref()
        .map_or("", |metadata| metadata.name.as_str())
}

fn row(authenticator: &Authenticator, is_wide: bool) -> Vec<String> {
    let status = authenticator.status.clone().unwrap_or_default();
    let spec = authenticator.spec.clone().unwrap_or_default();
    let mut row = vec![
        name_of(authenticator).to_owned(),
        spec.display_name,
        type_of(authenticator).as_str_name().to_owned(),
    ];
    if is_wide {
        row.extend([status.is_registered.to_string(), status.description]);
    }
    row
}
