//! A running `octeliumd`, and people at their terminals.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::program::{self, Outcome, octeliumd, run};

/// How long a program may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A replica that serves. Ends with the value; then its log must hold no secret.
pub(crate) struct Cluster {
    process: Child,
    log: Arc<Mutex<String>>,
    secrets: Arc<Mutex<Vec<String>>>,
    directory: Arc<TempDir>,
    arguments: Vec<String>,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// Where it reports on itself.
    pub(crate) admin_address: SocketAddr,
}

impl Cluster {
    /// A fresh one on SQLite, at ports that were free.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`Self::start`], with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::spawn(
            directory,
            "127.0.0.1:0",
            arguments,
            Arc::default(),
            Arc::default(),
        )
    }

    /// On SQLite, with a data directory that somebody has prepared.
    pub(crate) fn prepare(prepare: impl FnOnce(&Path)) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let data_dir = directory.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        prepare(&data_dir);
        Self::spawn(
            directory,
            "127.0.0.1:0",
            Vec::new(),
            Arc::default(),
            Arc::default(),
        )
    }

    /// A replica on PostgreSQL. All replicas of a test share one master key.
    pub(crate) fn start_on(database_url: &str, arguments: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let key = directory.path().join("master-key");
        fs::write(&key, "5a".repeat(32)).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let key = key.to_str().unwrap();
        let mut all = vec!["--database-url", database_url, "--master-key-file", key];
        all.extend(arguments);
        let arguments = all.into_iter().map(str::to_owned).collect();
        Self::spawn(
            directory,
            "127.0.0.1:0",
            arguments,
            Arc::default(),
            Arc::default(),
        )
    }

    fn spawn(
        directory: Arc<TempDir>,
        listen: &str,
        arguments: Vec<String>,
        log: Arc<Mutex<String>>,
        secrets: Arc<Mutex<Vec<String>>>,
    ) -> Self {
        let mut process = Command::new(octeliumd())
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--listen", listen, "--admin-listen", "127.0.0.1:0"])
            .args([
                "--log-format",
                "json",
                "--log",
                "debug,h2=info,hyper=info,rustls=info",
            ])
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = follow(&mut process, Arc::clone(&log));
        let serving = lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("octeliumd did not start:\n{}", log.lock().unwrap()));
        let address = |key: &str| serving[key].as_str().unwrap().parse().unwrap();
        Self {
            address: address("address"),
            admin_address: address("admin_address"),
            process,
            log,
            secrets,
            directory,
            arguments,
        }
    }

    /// The same state, served again at the same address. The one before must have ended.
    pub(crate) fn restart(mut self) -> Self {
        assert!(
            self.process.try_wait().unwrap().is_some(),
            "it still serves"
        );
        Self::spawn(
            Arc::clone(&self.directory),
            &self.address.to_string(),
            self.arguments.clone(),
            Arc::clone(&self.log),
            Arc::clone(&self.secrets),
        )
    }

    /// Where its state is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// `localhost:<port>`.
    pub(crate) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The certificate to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    /// The first authentication token of User `root`.
    pub(crate) fn root_token(&self) -> String {
        let token = std::fs::read_to_string(self.data_dir().join("root-token")).unwrap();
        self.secret(token.trim())
    }

    /// Remembers what must never stand in a log. Returns it.
    pub(crate) fn secret(&self, secret: &str) -> String {
        assert!(secret.len() > 15, "not a secret: {secret:?}");
        self.secrets.lock().unwrap().push(secret.to_owned());
        secret.to_owned()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What it has logged, once `text` is there: lines are written a little later than what they tell of.
    pub(crate) fn log_with(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) || begun.elapsed() > Duration::from_secs(10) {
                return log;
            }
            thread::yield_now();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.process.id());
        run(Command::new("sh").arg("-c").arg(command)).success();
    }

    /// The memory that it has now, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse().unwrap()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            thread::yield_now();
        }
        panic!("octeliumd did not end:\n{}", self.log());
    }

    /// Somebody with a home directory of their own.
    pub(crate) fn person(&self) -> Person {
        Person {
            domain: self.domain(),
            ca: self.ca(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Somebody who has logged in as User `root`.
    pub(crate) fn administrator(&self) -> Person {
        let person = self.person();
        let token = self.data_dir().join("root-token");
        self.root_token();
        person
            .sh(&format!(
                "octeliumctl login --auth-token-file '{}'",
                token.display()
            ))
            .success();
        person
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- log of octeliumd\n{}", tail(&self.log()));
            return;
        }
        let log = self.log();
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!log.contains(secret), "a secret is in the log:\n{log}");
        }
    }
}

/// Somebody at a terminal.
pub(crate) struct Person {
    domain: String,
    ca: PathBuf,
    home: TempDir,
}

impl Person {
    /// Types a command into a shell that finds the programs.
    pub(crate) fn sh(&self, command: &str) -> Outcome {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command);
        run(self.at(&mut shell))
    }

    /// Begins a command that goes on while other things happen. What it says is read line by line.
    pub(crate) fn begin(&self, command: &str) -> Begun {
        let mut shell = Command::new("sh");
        // In place of the shell, so that whoever ends it ends the program.
        shell.arg("-c").arg(format!("exec {command}"));
        let mut process = self
            .at(&mut shell)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Begun { process, lines }
    }

    /// Begins a command at a terminal, whose keyboard and screen are pipes.
    pub(crate) fn at_terminal(&self, command: &str) -> Child {
        let mut script = Command::new("script");
        script.args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            command,
            "/dev/null",
        ]);
        self.at(&mut script)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("script: {error}: run scripts/install-test-tools"))
    }

    /// As [`Self::sh`], with `input` on its standard input.
    pub(crate) fn sh_with_input(&self, command: &str, input: &str) -> Outcome {
        let file = self.home.path().join("input");
        std::fs::write(&file, input).unwrap();
        self.sh(&format!("{command} < '{}'", file.display()))
    }

    /// Where their clients keep state.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn at<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let folders = [program::folder(), "/usr/bin".into(), "/bin".into()];
        command
            .env_clear()
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", self.home.path())
            .env("OCTELIUM_HOME", self.home.path().join("octelium"))
            .env("OCTELIUM_DOMAIN", &self.domain)
            .env("OCTELIUM_CA_CERT", &self.ca)
            // Wherever the tests run.
            .env("OCTELIUM_REGISTER_DEVICE", "false")
            .current_dir(self.home.path())
    }
}

/// A command that goes on.
pub(crate) struct Begun {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Begun {
    /// The next line on its standard output.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("it says more").unwrap()
    }

    /// Ends it, as Ctrl-C does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// Collects the log. Passes on the line that says that it serves.
fn follow(process: &mut Child, log: Arc<Mutex<String>>) -> mpsc::Receiver<serde_json::Value> {
    let stderr = process.stderr.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            if line["message"] == "serving" {
                let _ = sender.send(line);
            }
        }
    });
    receiver
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
