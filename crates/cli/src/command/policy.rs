//! The command `policy`.

use clap::{Args, Subcommand};

use crate::{
    context::Context,
    failure::{Failure, Outcome},
};

pub(crate) mod coverage;
pub(crate) mod test;
pub(crate) mod test_resources;
pub(crate) mod why;

/// Explain and test the decisions of Policies
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand)]
enum PolicyCommand {
    Why(Box<why::WhyArgs>),
    Test(test::TestArgs),
}

/// Runs one of the subcommands.
pub(crate) async fn run(context: &Context, args: PolicyArgs) -> Result<Outcome, Failure> {
    match args.command {
        PolicyCommand::Why(args) => why::run(context, *args).await,
        PolicyCommand::Test(args) => test::run(context, args).await,
    }
}
