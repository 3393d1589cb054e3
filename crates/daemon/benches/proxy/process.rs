//! Programs beside us, and what they use.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::replica::cpu_seconds;

/// A program that ends with this.
pub(crate) struct Process(Child);

impl Process {
    /// What it writes goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let name = command.get_program().to_owned();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self::spawn(command, &name.to_string_lossy())
    }

    /// With its streams as they are set.
    pub(crate) fn spawn(command: &mut Command, name: &str) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{name} does not start: {error}")),
        )
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it writes to its standard output, where that is a pipe.
    pub(crate) fn output(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unlike a kill, this ends workers too.
        let _ = Command::new("kill").arg(self.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// CPU time that a program and its workers have used, in seconds.
pub(crate) fn family_cpu_seconds(process: u32) -> f64 {
    family(process).map(cpu_seconds).sum()
}

/// Resident memory of a program and its workers, in bytes. What they share counts for each.
pub(crate) fn family_resident(process: u32) -> f64 {
    family(process)
        .map(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .unwrap();
            let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
            kibibytes * 1024.0
        })
        .sum()
}

fn family(process: u32) -> impl Iterator<Item = u32> {
    std::iter::once(process).chain(workers(process))
}

fn workers(process: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{process}/task/{process}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|worker| worker.parse().unwrap())
        .collect()
}
