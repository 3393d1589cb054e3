//! The program under load.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;

/// Clock ticks a second in `/proc`; the same on every Linux that we know.
const TICKS: f64 = 100.0;

/// A running `octeliumd`.
pub(crate) struct Replica {
    process: Child,
    /// `None` only while it ends.
    directory: Option<TempDir>,
    /// Where it serves.
    pub(crate) address: SocketAddr,
}

impl Replica {
    /// On an empty store.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// With its data directory in `directory`, and further arguments.
    pub(crate) fn start_in(directory: TempDir, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_octeliumd"))
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .args([
                "--log-format",
                "json",
                "--log",
                "info,gateway=warn,octeliumd::dispatch=warn",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("octeliumd has ended").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "serving" {
                break line["address"].as_str().unwrap().parse().unwrap();
            }
        };
        thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            directory: Some(directory),
            address,
        }
    }

    /// Ends it, and leaves what it has stored.
    pub(crate) fn stop(mut self) -> TempDir {
        self.directory.take().unwrap()
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("data")
    }

    /// `localhost:<port>`.
    pub(crate) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// CPU time that it has used, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    /// Resident memory, in MB (10^6 bytes).
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

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The CPU time that a process has used, in seconds.
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
