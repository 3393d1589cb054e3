//! `delete`

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    remote,
};

/// Delete resources
#[derive(Args)]
pub(crate) struct DeleteArgs {
    #[command(subcommand)]
    target: Target,
}

struct Target {
    kind: Kind,
    names: Vec<String>,
}

#[derive(Args)]
struct NameArgs {
    /// Which; several may be given
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Deletes by name, one after the other; stops at the first failure.
pub(crate) async fn run(context: &Context, args: DeleteArgs) -> Result<Outcome, Failure> {
    let Target { kind, names } = args.target;
    let client = Client::connect(context).await?;
    for name in names {
        remote::delete(&client, kind, &name).await?;
        context
            .terminal
            .say(&format!("{} `{name}` successfully deleted", kind.name()));
    }
    Ok(Outcome::Done)
}

impl FromArgMatches for Target {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (word, matches) = matches.subcommand().ok_or_else(missing)?;
        let kind = Kind::parse(word).ok_or_else(missing)?;
        let names = NameArgs::from_arg_matches(matches)?.names;
        Ok(Self { kind, names })
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
                NameArgs::augment_args(Command::new(word))
                    .visible_aliases(kind.aliases())
                    .about(format!("Delete {} by name", kind.plural()))
                    .after_help(format!("Example:\n  octeliumctl delete {word} {word}1"))
            });
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(kinds)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Kind::parse(name).is_some_and(Kind::can_be_deleted)
    }
}
