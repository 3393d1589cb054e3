//! The command `completion`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    context::Context,
    failure::{Failure, Outcome},
};

/// Print a shell completion script
#[derive(Clone, Copy, Args)]
#[command(after_help = "Example:\n  source <(octeliumctl completion bash)")]
pub(crate) struct CompletionArgs {
    /// Shell to complete commands in, such as `bash`
    shell: Shell,
}

/// Prints the script for `command` to standard output.
pub(crate) fn run(
    context: &Context,
    mut command: Command,
    args: CompletionArgs,
) -> Result<Outcome, Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    context.terminal.data(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
