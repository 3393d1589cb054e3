//! `update`

use api::{
    core_v1::{authenticator, device, session},
    platform_v1::{Resource, resource::Resource as Body},
};
use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::create::{
    done,
    value::{ConfigValueArgs, SecretValueArgs},
};
use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    output::OutputArgs,
    remote,
};

/// Change single properties of resources; `apply` changes anything
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct UpdateArgs {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// Replace the value of a Secret
    #[command(
        visible_aliases = ["sec", "secrets"],
        after_help = "Example:\n  octeliumctl update secret --file password.txt pg-password"
    )]
    Secret {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        value: SecretValueArgs,
    },
    /// Replace the value of a Config
    #[command(
        visible_aliases = ["cfg", "conf"],
        after_help = "Example:\n  octeliumctl update config --file settings.json settings"
    )]
    Config {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        value: ConfigValueArgs,
    },
    /// Approve or reject a Device
    #[command(
        visible_alias = "dev",
        after_help = "Example:\n  octeliumctl update device --approve alice-laptop"
    )]
    Device {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        verdict: VerdictArgs,
    },
    /// Approve or reject an Authenticator
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octeliumctl update authenticator --approve alice-key"
    )]
    Authenticator {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        verdict: VerdictArgs,
    },
    /// Approve, reject, or change the end of a Session
    #[command(
        visible_alias = "sess",
        after_help = "Example:\n  octeliumctl update session --expire-in 2hours alice-x1y2z3"
    )]
    Session {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        change: SessionArgs,
    },
    /// Disable or enable a User
    #[command(
        visible_alias = "usr",
        after_help = "Example:\n  octeliumctl update user --disable alice"
    )]
    User {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        switch: SwitchArgs,
    },
    /// Disable, enable or limit a Credential
    #[command(
        visible_aliases = ["cred", "creds"],
        after_help = "Example:\n  octeliumctl update credential --disable cred01"
    )]
    Credential {
        #[command(flatten)]
        named: NamedArgs,
        #[command(flatten)]
        change: CredentialArgs,
    },
}

#[derive(Args)]
struct NamedArgs {
    /// Which
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct VerdictArgs {
    /// It may be used
    #[arg(long)]
    approve: bool,
    /// It may not be used
    #[arg(long)]
    reject: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct SwitchArgs {
    /// It stops working at once, with all its Sessions
    #[arg(long)]
    disable: bool,
    /// It works again
    #[arg(long)]
    enable: bool,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct SessionArgs {
    /// It may be used
    #[arg(long, conflicts_with = "reject")]
    approve: bool,
    /// It may not be used
    #[arg(long)]
    reject: bool,
    /// It ends then
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct CredentialArgs {
    /// It stops working at once, with all its Sessions
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// It works again
    #[arg(long)]
    enable: bool,
    /// It ends then
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
    /// It authenticates so many times in all; 0 is without limit
    #[arg(long, value_name = "N")]
    max_authn: Option<u32>,
}

/// Reads, changes and writes one object; somebody else's change in between is a conflict.
pub(crate) async fn run(context: &Context, args: UpdateArgs) -> Result<Outcome, Failure> {
    let (kind, named) = args.target.which();
    let output = named.output;
    let name = named.name.clone();
    let client = Client::connect(context).await?;
    let mut resource = remote::get(&client, kind, &name).await?;
    args.target.change(context, &mut resource)?;
    let updated = remote::update(&client, resource).await?;
    done(context, &updated, output, "updated")
}

impl Target {
    fn which(&self) -> (Kind, &NamedArgs) {
        match self {
            Self::Secret { named, .. } => (Kind::Secret, named),
            Self::Config { named, .. } => (Kind::Config, named),
            Self::Device { named, .. } => (Kind::Device, named),
            Self::Authenticator { named, .. } => (Kind::Authenticator, named),
            Self::Session { named, .. } => (Kind::Session, named),
            Self::User { named, .. } => (Kind::User, named),
            Self::Credential { named, .. } => (Kind::Credential, named),
        }
    }

    fn change(&self, context: &Context, resource: &mut Resource) -> Result<(), Failure> {
        match (self, &mut resource.resource) {
            (Self::Secret { value, .. }, Some(Body::Secret(secret))) => {
                value.set(context, secret)?;
            }
            (Self::Config { value, .. }, Some(Body::Config(config))) => {
                config.data = Some(value.data()?);
            }
            (Self::Device { verdict, .. }, Some(Body::Device(device))) => {
                use device::spec::State;
                let state = if verdict.approve {
                    State::Active
                } else {
                    State::Rejected
                };
                device.spec.get_or_insert_default().set_state(state);
            }
            (Self::Authenticator { verdict, .. }, Some(Body::Authenticator(authenticator))) => {
                use authenticator::spec::State;
                let state = if verdict.approve {
                    State::Active
                } else {
                    State::Rejected
                };
                authenticator.spec.get_or_insert_default().set_state(state);
            }
            (Self::Session { change, .. }, Some(Body::Session(session))) => {
                use session::spec::State;
                let spec = session.spec.get_or_insert_default();
                if change.approve {
                    spec.set_state(State::Active);
                } else if change.reject {
                    spec.set_state(State::Rejected);
                }
                if let Some(text) = &change.expire_in {
                    spec.expires_at = Some(expiry(context, text)?);
                }
            }
            (Self::User { switch, .. }, Some(Body::User(user))) => {
                user.spec.get_or_insert_default().is_disabled = switch.disable;
            }
            (Self::Credential { change, .. }, Some(Body::Credential(credential))) => {
                let spec = credential.spec.get_or_insert_default();
                spec.is_disabled = change.disable || spec.is_disabled && !change.enable;
                if let Some(text) = &change.expire_in {
                    spec.expires_at = Some(expiry(context, text)?);
                }
                if let Some(limit) = change.max_authn {
                    spec.max_authentications = limit;
                }
            }
            _ => {
                return Err(Failure::input(
                    "the Cluster answered with another kind of object",
                ));
            }
        }
        Ok(())
    }
}

fn expiry(context: &Context, text: &str) -> Result<Timestamp, Failure> {
    domain::duration::parse_expire_in(text, context.now())
        .map(domain::clock::UnixMillis::to_proto)
        .map_err(|error| Failure::usage(format!("--expire-in: {error}")))
}
