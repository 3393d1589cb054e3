//! The command `delete`.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    remote,
};

mod authenticators;
mod enrollment;

use authenticators::AuthenticatorArgs;
use enrollment::EnrollmentArgs;

/// Delete resources
#[derive(Args)]
pub(crate) struct DeleteArgs {
    #[command(subcommand)]
    target: Target,
}

enum Target {
    Named(Kind, Vec<String>),
    /// All Authenticators of a User.
    Reset(AuthenticatorArgs),
    /// One-time login links.
    Enrollment(EnrollmentArgs),
}

#[derive(Args)]
struct NameArgs {
    /// Names of the objects, separated by spaces
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Deletes objects one after the other and stops at the first failure.
pub(crate) async fn run(context: &Context, args: DeleteArgs) -> Result<Outcome, Failure> {
    let (kind, names) = match args.target {
        Target::Named(kind, names) => (kind, names),
        Target::Reset(args) => return authenticators::reset(context, args).await,
        Target::Enrollment(args) => return enrollment::revoke(context, args).await,
    };
    let client = Client::connect(context).await?;
    for name in names {
        remote::delete(&client, kind, &name).await?;
        context
            .terminal
            .say(&format!("{} `{name}` successfully deleted", kind.name()));
    }
    Ok(Outcome::Done)
}

fn counted(count: u32, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

impl FromArgMatches for Target {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (word, matches) = matches.subcommand().ok_or_else(missing)?;
        if word == "enrollment" {
            return EnrollmentArgs::from_arg_matches(matches).map(Self::Enrollment);
        }
        let kind = Kind::parse(word).ok_or_else(missing)?;
        if kind == Kind::Authenticator {
            let args = AuthenticatorArgs::from_arg_matches(matches)?;
            return Ok(if args.all {
                Self::Reset(args)
            } else {
                Self::Named(kind, args.names)
            });
        }
        let names = NameArgs::from_arg_matches(matches)?.names;
        Ok(Self::Named(kind, names))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Target {
    fn augment_subcommands(command: Command) -> Command {
        let kinds = Kind::ALL
            .iter()
            .filter(|kind| kind.can_be_deleted())
            .map(|kind| {
                let word = kind.word();
                let command = Command::new(word);
                let (command, more) = if *kind == Kind::Authenticator {
                    let more = "\n  octeliumctl delete authenticator --user john --all";
                    (AuthenticatorArgs::augment_args(command), more)
                } else {
                    (NameArgs::augment_args(command), "")
                };
                command
                    .visible_aliases(kind.aliases())
                    .about(format!("Delete {} by name", kind.plural()))
                    .after_help(format!(
                        "Example:\n  octeliumctl delete {word} {word}1{more}"
                    ))
            });
        let enrollment = EnrollmentArgs::augment_args(Command::new("enrollment"))
            .about("Revoke one-time sign-in links")
            .after_help("Example:\n  octeliumctl delete enrollment --user john --all");
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(kinds)
            .subcommand(enrollment)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == "enrollment" || Kind::parse(name).is_some_and(Kind::can_be_deleted)
    }
}
