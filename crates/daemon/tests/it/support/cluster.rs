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

/// The timeout for starting or ending a program.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running replica. Its drop ends it and checks that its log contains no secret.
pub(crate) struct Cluster {
    process: Child,
    log: Arc<Mutex<String>>,
    secrets: Arc<Mutex<Vec<String>>>,
    directory: Arc<TempDir>,
    arguments: Vec<String>,
    /// The address of the listener.
    pub(crate) address: SocketAddr,
    /// The address of the admin listener.
    pub(crate) admin_address: SocketAddr,
}

impl Cluster {
    /// Starts a new Cluster on SQLite, at free ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a Cluster like [`Self::start`], with more arguments.
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

    /// Starts a Cluster on SQLite with a prepared data directory.
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

    /// Starts a replica on PostgreSQL. All replicas of a test share one master key.
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

    /// Starts it again with the same state and address. The previous process must have ended.
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

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns `localhost:<port>`.
    pub(crate) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Returns the file of the certificate to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    /// Returns the first authentication token of User `root`.
    pub(crate) fn root_token(&self) -> String {
        let token = std::fs::read_to_string(self.data_dir().join("root-token")).unwrap();
        self.secret(token.trim())
    }

    /// Registers and returns a secret that must not appear in the log.
    pub(crate) fn secret(&self, secret: &str) -> String {
        assert!(secret.len() > 15, "not a secret: {secret:?}");
        self.secrets.lock().unwrap().push(secret.to_owned());
        secret.to_owned()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log contains `text` and returns the log. Lines are written with a short delay.
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

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.process.id());
        run(Command::new("sh").arg("-c").arg(command)).success();
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse().unwrap()
    }

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

    /// Returns a person with a new home directory.
    pub(crate) fn person(&self) -> Person {
        Person {
            domain: self.domain(),
            ca: self.ca(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns a person who is signed in as User `root`.
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

/// A person at a terminal.
pub(crate) struct Person {
    domain: String,
    ca: PathBuf,
    home: TempDir,
}

impl Person {
    /// Runs a command in a shell, with the programs in its path.
    pub(crate) fn sh(&self, command: &str) -> Outcome {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command);
        run(self.at(&mut shell))
    }

    /// Starts a command in the background. Its output is read line by line.
    pub(crate) fn begin(&self, command: &str) -> Begun {
        let mut shell = Command::new("sh");
        // Replaces the shell, so that a signal reaches the program.
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

    /// Starts a command at a terminal, with pipes as its keyboard and screen.
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

    /// Runs a command like [`Self::sh`], with `input` on its standard input.
    pub(crate) fn sh_with_input(&self, command: &str, input: &str) -> Outcome {
        let file = self.home.path().join("input");
        std::fs::write(&file, input).unwrap();
        self.sh(&format!("{command} < '{}'", file.display()))
    }

    /// Returns the home directory, where the clients keep their state.
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
            // Independent of the machine on which the tests run.
            .env("OCTELIUM_REGISTER_DEVICE", "false")
            .current_dir(self.home.path())
    }
}

/// A command in the background.
pub(crate) struct Begun {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Begun {
    /// Returns the next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("it says more").unwrap()
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn ends(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// Collects the log, and sends the line that reports that it serves.
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
