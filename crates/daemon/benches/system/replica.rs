//! The program under load.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Clock ticks per second in `/proc`, the same on every known Linux.
const TICKS: f64 = 100.0;

/// A running `octeliumd`.
pub(crate) struct Replica {
    process: Child,
    /// `None` only while the process is stopped.
    directory: Option<TempDir>,
    /// The address of its listener.
    pub(crate) address: SocketAddr,
}

impl Replica {
    /// Starts with an empty store.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts with an empty store, and logs a line for each request.
    pub(crate) fn start_with_access_log() -> Self {
        Self::start_program(&measured_program())
    }

    /// Like [`Self::start_with_access_log`], for another program.
    pub(crate) fn start_program(program: &OsStr) -> Self {
        Self::launch(program, tempfile::tempdir().unwrap(), &[], "info")
    }

    /// Starts with its data directory in `directory`, and with additional arguments.
    pub(crate) fn start_in(directory: TempDir, arguments: &[&str]) -> Self {
        Self::launch(
            &measured_program(),
            directory,
            arguments,
            "info,gateway=warn,octeliumd::dispatch=warn",
        )
    }

    fn launch(program: &OsStr, directory: TempDir, arguments: &[&str], filter: &str) -> Self {
        let log = directory.path().join("log");
        let process = Command::new(program)
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .args(["--log-format", "json", "--log", filter])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut replica = Self {
            process,
            directory: Some(directory),
            address: ([0, 0, 0, 0], 0).into(),
        };
        replica.address = replica.serving(&log);
        replica
    }

    /// Waits until the replica serves, and returns its address.
    fn serving(&mut self, log: &Path) -> SocketAddr {
        loop {
            let text = fs::read_to_string(log).unwrap();
            let address = text.lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                let address =
                    (line["message"] == "serving").then(|| line["address"].as_str())??;
                address.parse().ok()
            });
            if let Some(address) = address {
                return address;
            }
            assert!(
                self.process.try_wait().unwrap().is_none(),
                "octeliumd has ended: {text}"
            );
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops the process, and keeps its data directory.
    pub(crate) fn stop(mut self) -> TempDir {
        self.directory.take().unwrap()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("data")
    }

    /// Returns `localhost:<port>`.
    pub(crate) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Returns the used CPU time, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    /// Returns the resident memory, in MB (10^6 bytes).
    pub(crate) fn resident_megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
        kibibytes * 1024.0 / 1e6
    }
}

/// Returns the program named by `OCTELIUMD`, or the one built beside this benchmark.
fn measured_program() -> OsString {
    let program = std::env::var_os("OCTELIUMD");
    program.unwrap_or_else(|| env!("CARGO_BIN_EXE_octeliumd").into())
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the CPU time that a process has used, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS
}
