//! `octeliumd`: the whole Cluster in one program. Reads the settings, assembles the parts and runs them.

mod admin;
mod arguments;
mod backup;
mod certificates;
mod connections;
mod control_plane;
mod data_plane;
mod dispatch;
mod doctor;
mod files;
mod geoip;
mod listener;
mod logging;
mod mds_metadata;
mod migrate;
mod names;
mod open_files;
mod outbound;
mod proxies;
mod quickstart;
mod recover;
mod restore;
mod running;
mod serve;
mod settings;
mod sites;
mod storage;
mod telemetry;
mod tls;
mod workers;

use std::{
    io::{Write as _, stderr},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::arguments::{Arguments, Command};

/// A request makes about fifty small allocations, which the allocator of the C library serves at several times the cost.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failed write to standard error cannot be reported anywhere else.
            let _ = writeln!(stderr(), "octeliumd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("asynchronous runtime")?;
    match arguments.command {
        Command::Quickstart(serving) => runtime.block_on(quickstart::run(serving.with_file()?)),
        Command::Serve(serving) => runtime.block_on(serve::run(serving.with_file()?)),
        Command::Migrate(settings) => runtime.block_on(migrate::run(settings.with_file()?)),
        Command::Doctor(settings) => runtime.block_on(doctor::run(settings.with_file()?)),
        Command::Backup(settings) => runtime.block_on(backup::run(settings.with_file()?)),
        Command::Restore(settings) => runtime.block_on(restore::run(settings.with_file()?)),
        Command::Recover(settings) => runtime.block_on(recover::run(settings.with_file()?)),
    }
}
