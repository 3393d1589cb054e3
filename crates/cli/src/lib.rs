//! The programs `octeliumctl` and `octelium`.
//!
//! A command parses its arguments, calls the API and prints data to standard output and messages to standard error.
//! `docs/cli.md` documents exit codes, environment variables and output formats.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

mod args;
mod assertion;
mod client;
mod cluster;
mod command;
mod connection;
mod context;
mod endpoint;
mod environment;
mod failure;
mod input;
mod kind;
mod output;
mod remote;
mod rpc;
mod state;
mod terminal;
mod text;
mod tls;
pub mod tpm;

use args::{Octelium, Octeliumctl};
use context::Context;
use environment::Environment;
use failure::{Failure, Outcome};
use output::Format;
use terminal::Terminal;

/// The program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `octeliumctl`, for administrators.
    Octeliumctl,
    /// `octelium`, for Users.
    Octelium,
}

/// Runs a program with the arguments and the environment of this process.
pub fn main(program: Program) -> ExitCode {
    let mut command = match program {
        Program::Octeliumctl => Octeliumctl::command(),
        Program::Octelium => Octelium::command(),
    };
    let matches = match command.try_get_matches_from_mut(std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => return refuse(&error),
    };
    let environment = Environment::of_process();
    let terminal = Terminal::new(&environment, wants_json(&matches));
    let global = args::Global::from_arg_matches(&matches).unwrap_or_default();
    let context = Context {
        terminal,
        domain: global.domain,
        homedir: global.homedir,
        environment,
        clock: domain::clock::SystemClock,
        rng: domain::rng::SystemRng,
    };
    let log_out = global.logout || context.environment.is_true("OCTELIUM_LOGOUT");
    match run(program, &matches, &context, log_out) {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) if failure.code == terminal::STDOUT_CLOSED => ExitCode::SUCCESS,
        Err(failure) => {
            context.terminal.fail(&failure);
            failure.reason.exit_code()
        }
    }
}

fn run(
    program: Program,
    matches: &ArgMatches,
    context: &Context,
    log_out: bool,
) -> Result<Outcome, Failure> {
    let usage = |error: clap::Error| Failure::usage(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::input(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let outcome = match program {
            Program::Octeliumctl => {
                let octeliumctl = Octeliumctl::from_arg_matches(matches).map_err(usage)?;
                octeliumctl.command.run(context).await?
            }
            Program::Octelium => {
                let octelium = Octelium::from_arg_matches(matches).map_err(usage)?;
                octelium.command.run(context).await?
            }
        };
        if log_out {
            command::logout::run(context).await?;
        }
        Ok(outcome)
    })
}

/// Prints help and version to standard output, and usage errors to standard error.
fn refuse(error: &clap::Error) -> ExitCode {
    // The stream may be closed.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn wants_json(matches: &ArgMatches) -> bool {
    let here = matches
        .try_get_one::<Format>("output")
        .ok()
        .flatten()
        .is_some_and(|format| matches!(format, Format::Json | Format::Jsonl));
    here || matches
        .subcommand()
        .is_some_and(|(_, matches)| wants_json(matches))
}
