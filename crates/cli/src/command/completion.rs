//! The command `completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{
    Program,
    args::{Octelium, Octeliumctl},
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

/// Prints the script to standard output.
pub(crate) fn run(
    context: &Context,
    program: Program,
    args: CompletionArgs,
) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    match program {
        Program::Octeliumctl => clap_complete::generate(
            args.shell,
            &mut Octeliumctl::command(),
            "octeliumctl",
            &mut script,
        ),
        Program::Octelium => {
            clap_complete::generate(
                args.shell,
                &mut Octelium::command(),
                "octelium",
                &mut script,
            );
        }
    }
    context.terminal.data(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
