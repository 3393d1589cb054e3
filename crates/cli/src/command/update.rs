//! The command `update`.

use api::{
    core_v1::{authenticator, credential, device, session},
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

/// Change single fields of resources. To change other fields, use `apply`
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
    Secret(ChangeArgs<SecretValueArgs>),
    /// Replace the value of a Config
    #[command(
        visible_aliases = ["cfg", "conf"],
        after_help = "Example:\n  octeliumctl update config --file settings.json settings"
    )]
    Config(ChangeArgs<ConfigValueArgs>),
    /// Approve or reject a Device
    #[command(
        visible_alias = "dev",
        after_help = "Example:\n  octeliumctl update device --approve alice-laptop"
    )]
    Device(ChangeArgs<VerdictArgs>),
    /// Approve or reject an Authenticator
    #[command(
        visible_alias = "authn",
        after_help = "Example:\n  octeliumctl update authenticator --approve alice-key"
    )]
    Authenticator(ChangeArgs<VerdictArgs>),
    /// Approve or reject a Session, or change its expiry
    #[command(
        visible_alias = "sess",
        after_help = "Example:\n  octeliumctl update session --expire-in 2hours alice-x1y2z3"
    )]
    Session(ChangeArgs<SessionArgs>),
    /// Disable or enable a User
    #[command(
        visible_alias = "usr",
        after_help = "Example:\n  octeliumctl update user --disable alice"
    )]
    User(ChangeArgs<SwitchArgs>),
    /// Disable, enable or limit a Credential
    #[command(
        visible_aliases = ["cred", "creds"],
        after_help = "Example:\n  octeliumctl update credential --disable cred01"
    )]
    Credential(ChangeArgs<CredentialArgs>),
}

/// Name of an object and the change to make.
#[derive(Args)]
struct ChangeArgs<T: Args> {
    /// Name of the object, such as `alice`
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    change: T,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct VerdictArgs {
    /// Approve it, so that it can be used
    #[arg(long)]
    approve: bool,
    /// Reject it, so that it cannot be used
    #[arg(long)]
    reject: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct SwitchArgs {
    /// Disable it: it and its Sessions stop working at once
    #[arg(long)]
    disable: bool,
    /// Enable it again
    #[arg(long)]
    enable: bool,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct SessionArgs {
    /// Approve it, so that it can be used
    #[arg(long, conflicts_with = "reject")]
    approve: bool,
    /// Reject it, so that it cannot be used
    #[arg(long)]
    reject: bool,
    /// Time from now until it expires, such as 2hours
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct CredentialArgs {
    /// Disable it: it and its Sessions stop working at once
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Enable it again
    #[arg(long)]
    enable: bool,
    /// Time from now until it expires, such as 6months
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
    /// Limit the total number of times it can be used, such as 10; 0 means unlimited
    #[arg(long, value_name = "N")]
    max_authn: Option<u32>,
}

/// Reads, changes and writes one object. Fails with a conflict if the object was changed in between.
pub(crate) async fn run(context: &Context, args: UpdateArgs) -> Result<Outcome, Failure> {
    let (kind, name, output) = args.target.which();
    let client = Client::connect(context).await?;
    let mut resource = remote::get(&client, kind, name).await?;
    args.target.change(context, &mut resource)?;
    let updated = remote::update(&client, resource).await?;
    let updated = updated.warn(&context.terminal);
    done(context, &updated, output.clone(), "updated")
}

impl Target {
    fn which(&self) -> (Kind, &str, &OutputArgs) {
        match self {
            Self::Secret(args) => args.which(Kind::Secret),
            Self::Config(args) => args.which(Kind::Config),
            Self::Device(args) => args.which(Kind::Device),
            Self::Authenticator(args) => args.which(Kind::Authenticator),
            Self::Session(args) => args.which(Kind::Session),
            Self::User(args) => args.which(Kind::User),
            Self::Credential(args) => args.which(Kind::Credential),
        }
    }

    fn change(&self, context: &Context, resource: &mut Resource) -> Result<(), Failure> {
        match (self, &mut resource.resource) {
            (Self::Secret(args), Some(Body::Secret(secret))) => {
                args.change.set(context, secret)?;
            }
            (Self::Config(args), Some(Body::Config(config))) => {
                config.data = Some(args.change.data()?);
            }
            (Self::Device(args), Some(Body::Device(device))) => {
                use device::spec::State;
                let state = args.change.choose(State::Active, State::Rejected);
                device.spec.get_or_insert_default().set_state(state);
            }
            (Self::Authenticator(args), Some(Body::Authenticator(authenticator))) => {
                use authenticator::spec::State;
                let state = args.change.choose(State::Active, State::Rejected);
                authenticator.spec.get_or_insert_default().set_state(state);
            }
            (Self::Session(args), Some(Body::Session(session))) => {
                let spec = session.spec.get_or_insert_default();
                args.change.change(context, spec)?;
            }
            (Self::User(args), Some(Body::User(user))) => {
                user.spec.get_or_insert_default().is_disabled = args.change.disable;
            }
            (Self::Credential(args), Some(Body::Credential(credential))) => {
                let spec = credential.spec.get_or_insert_default();
                args.change.change(context, spec)?;
            }
            _ => {
                return Err(Failure::input(
                    "the Cluster returned another kind of object",
                ));
            }
        }
        Ok(())
    }
}

impl<T: Args> ChangeArgs<T> {
    fn which(&self, kind: Kind) -> (Kind, &str, &OutputArgs) {
        (kind, &self.name, &self.output)
    }
}

impl VerdictArgs {
    fn choose<S>(&self, approved: S, rejected: S) -> S {
        if self.approve { approved } else { rejected }
    }
}

impl SessionArgs {
    fn change(&self, context: &Context, spec: &mut session::Spec) -> Result<(), Failure> {
        use session::spec::State;
        if self.approve {
            spec.set_state(State::Active);
        } else if self.reject {
            spec.set_state(State::Rejected);
        }
        if let Some(text) = &self.expire_in {
            spec.expires_at = Some(expiry(context, text)?);
        }
        Ok(())
    }
}

impl CredentialArgs {
    fn change(&self, context: &Context, spec: &mut credential::Spec) -> Result<(), Failure> {
        spec.is_disabled = self.disable || spec.is_disabled && !self.enable;
        if let Some(text) = &self.expire_in {
            spec.expires_at = Some(expiry(context, text)?);
        }
        if let Some(limit) = self.max_authn {
            spec.max_authentications = limit;
        }
        Ok(())
    }
}

fn expiry(context: &Context, text: &str) -> Result<Timestamp, Failure> {
    domain::duration::parse_expire_in(text, context.now())
        .map(domain::clock::UnixMillis::to_proto)
        .map_err(|error| Failure::usage(format!("--expire-in: {error}")))
}
