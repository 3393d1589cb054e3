//! Child processes and their resource use.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::replica::cpu_seconds;

/// A child process that is ended on drop.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a process that writes its output to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let name = command.get_program().to_owned();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self::spawn(command, &name.to_string_lossy())
    }

    /// Starts a process with the streams of `command`.
    pub(crate) fn spawn(command: &mut Command, name: &str) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{name} does not start: {error}")),
        )
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns the standard output, which must be a pipe.
    pub(crate) fn output(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unlike SIGKILL, this also ends workers.
        let _ = Command::new("kill").arg(self.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Returns the CPU time of a process and its workers, in seconds.
pub(crate) fn family_cpu_seconds(process: u32) -> f64 {
    family(process).map(cpu_seconds).sum()
}

/// Returns the resident memory of a process and its workers, in bytes. Shared memory is counted for each.
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
