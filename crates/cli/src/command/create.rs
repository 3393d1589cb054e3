//! The command `create`.

use api::{meta_v1::Metadata, platform_v1::Resource};
use clap::{Args, Subcommand};

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    output::{self, OutputArgs},
    remote,
};

pub(crate) mod credential;
pub(crate) mod enrollment;
pub(crate) mod identity_provider;
pub(crate) mod plain;
pub(crate) mod service;
pub(crate) mod user;
pub(crate) mod value;

/// Create a resource
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct CreateArgs {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    #[command(visible_aliases = ["cred", "creds", "credentials"])]
    Credential(credential::CredentialArgs),
    #[command(visible_aliases = ["enroll"])]
    Enrollment(enrollment::EnrollmentArgs),
    #[command(visible_aliases = ["usr"])]
    User(user::UserArgs),
    #[command(visible_aliases = ["grp"])]
    Group(plain::GroupArgs),
    #[command(visible_aliases = ["ns"])]
    Namespace(plain::NamespaceArgs),
    #[command(visible_aliases = ["svc"])]
    Service(service::ServiceArgs),
    #[command(name = "identityprovider", visible_aliases = ["idp", "identityproviders"])]
    IdentityProvider(identity_provider::IdentityProviderArgs),
    #[command(visible_aliases = ["sec", "secrets"])]
    Secret(value::SecretArgs),
    #[command(visible_aliases = ["cfg", "conf"])]
    Config(value::ConfigArgs),
}

/// Creates one object.
pub(crate) async fn run(context: &Context, args: CreateArgs) -> Result<Outcome, Failure> {
    let (resource, output) = match args.target {
        Target::Credential(args) => return credential::run(context, args).await,
        Target::Enrollment(args) => return enrollment::run(context, args).await,
        Target::User(args) => args.resource(),
        Target::Group(args) => args.resource(),
        Target::Namespace(args) => args.resource(),
        Target::Service(args) => args.resource()?,
        Target::IdentityProvider(args) => args.resource()?,
        Target::Secret(args) => args.resource(context)?,
        Target::Config(args) => args.resource(context)?,
    };
    let client = Client::connect(context).await?;
    let created = remote::create(&client, resource).await?;
    let created = created.warn(&context.terminal);
    done(context, &created, output, "created")
}

/// Prints the object, or a message that it was created or changed.
pub(crate) fn done(
    context: &Context,
    resource: &Resource,
    output: OutputArgs,
    verb: &str,
) -> Result<Outcome, Failure> {
    let kind = resource.kind().and_then(Kind::parse);
    match (kind, output.output) {
        (Some(kind), Some(format)) => output::object(context, kind, resource, &format)?,
        _ => context.terminal.say(&format!(
            "{} `{}` successfully {verb}",
            resource.kind().unwrap_or("Object"),
            resource.name()
        )),
    }
    Ok(Outcome::Done)
}

/// Returns metadata with only a name.
pub(crate) fn named(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        ..Metadata::default()
    }
}
