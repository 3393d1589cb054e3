//! Defines the command lines of `octeliumctl` and `octelium`.

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{
    command::{
        apply, auth, completion, create, delete, diff, explain, get, login, logout, policy, status,
        token, update, user_get, version, whoami,
    },
    context::Context,
    failure::{Failure, Outcome},
};

/// Administer a Cluster.
#[derive(Parser)]
#[command(
    name = "octeliumctl",
    after_help = "Example:\n  export OCTELIUM_DOMAIN=example.com\n  octeliumctl login --auth-token -\n  octeliumctl create credential --user microservice1 cred01"
)]
pub(crate) struct Octeliumctl {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    pub(crate) command: OcteliumctlCommand,
}

/// Log in to a Cluster and list the Services you can reach.
#[derive(Parser)]
#[command(
    name = "octelium",
    after_help = "Example:\n  export OCTELIUM_DOMAIN=example.com\n  octelium login --auth-token -\n  octelium get service"
)]
pub(crate) struct Octelium {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    pub(crate) command: OcteliumCommand,
}

/// Global flags of every command.
#[derive(Args, Default)]
pub(crate) struct Global {
    /// Domain of the Cluster as HOST or HOST:PORT, such as `example.com` [default port: 443] [env: `OCTELIUM_DOMAIN`]
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "DOMAIN"
    )]
    pub(crate) domain: Option<String>,
    /// Directory of the saved login, or `mem` to save nothing [default: in the user's configuration directory]
    /// [env: `OCTELIUM_HOME`]
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "DIR"
    )]
    pub(crate) homedir: Option<String>,
    /// Log out after the command [env: `OCTELIUM_LOGOUT=true`]
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) logout: bool,
}

/// Commands of `octeliumctl`.
#[derive(Subcommand)]
pub(crate) enum OcteliumctlCommand {
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Status(status::StatusArgs),
    Whoami(whoami::WhoamiArgs),
    Auth(auth::AuthArgs),
    Version(version::VersionArgs),
    Get(get::GetArgs),
    Create(create::CreateArgs),
    Update(update::UpdateArgs),
    #[command(visible_aliases = ["del", "rm"])]
    Delete(delete::DeleteArgs),
    Apply(apply::ApplyArgs),
    Diff(diff::DiffArgs),
    Explain(explain::ExplainArgs),
    Policy(policy::PolicyArgs),
    Token(token::TokenArgs),
    Completion(completion::CompletionArgs),
}

/// Commands of `octelium`.
#[derive(Subcommand)]
pub(crate) enum OcteliumCommand {
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Status(status::StatusArgs),
    Whoami(whoami::WhoamiArgs),
    Auth(auth::AuthArgs),
    Version(version::VersionArgs),
    Get(user_get::UserGetArgs),
    Token(token::TokenArgs),
    Completion(completion::CompletionArgs),
}

impl OcteliumctlCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Login(args) => login::run(context, args).await,
            Self::Logout(_) => logout::run(context).await,
            Self::Status(args) => status::run(context, args).await,
            Self::Whoami(args) => whoami::run(context, args).await,
            Self::Auth(args) => auth::run(context, args).await,
            Self::Version(args) => version::run(context, args),
            Self::Get(args) => get::run(context, args).await,
            Self::Create(args) => create::run(context, args).await,
            Self::Update(args) => update::run(context, args).await,
            Self::Delete(args) => delete::run(context, args).await,
            Self::Apply(args) => apply::run(context, args).await,
            Self::Diff(args) => diff::run(context, args).await,
            Self::Explain(args) => explain::run(context, &args),
            Self::Policy(args) => policy::run(context, args).await,
            Self::Token(args) => token::run(context, args),
            Self::Completion(args) => completion::run(context, Octeliumctl::command(), args),
        }
    }
}

impl OcteliumCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Login(args) => login::run(context, args).await,
            Self::Logout(_) => logout::run(context).await,
            Self::Status(args) => status::run(context, args).await,
            Self::Whoami(args) => whoami::run(context, args).await,
            Self::Auth(args) => auth::run(context, args).await,
            Self::Version(args) => version::run(context, args),
            Self::Get(args) => user_get::run(context, args).await,
            Self::Token(args) => token::run(context, args),
            Self::Completion(args) => completion::run(context, Octelium::command(), args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, Command};

    use super::*;

    /// Collects the full names of list flags below `command` that do not split their value at commas.
    fn unsplit(command: &Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        for arg in command.get_arguments() {
            let is_list = matches!(arg.get_action(), ArgAction::Append);
            if let (true, Some(name), None) = (is_list, arg.get_long(), arg.get_value_delimiter()) {
                found.push(format!("{} --{name}", path.trim_start()));
            }
        }
        for command in command.get_subcommands() {
            unsplit(command, &path, found);
        }
    }

    #[test]
    fn every_flag_that_takes_a_list_splits_it_at_commas_g9() {
        let mut found = Vec::new();
        unsplit(&Octeliumctl::command(), "", &mut found);
        unsplit(&Octelium::command(), "", &mut found);
        // A header value can contain commas.
        assert_eq!(found, ["octeliumctl policy why --header"]);
    }
}
