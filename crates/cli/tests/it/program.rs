//! Runs `octeliumctl` and `octelium` in an isolated environment.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::fake::Fake;

/// A home directory and a Cluster.
pub(crate) struct World {
    pub(crate) cluster: Fake,
    pub(crate) home: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// The result of a program.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Creates a world without a login.
    pub(crate) fn new() -> Self {
        Self {
            cluster: Fake::start(),
            home: tempfile::tempdir().unwrap(),
            // Makes the tests independent of the machine that they run on.
            variables: vec![("OCTELIUM_REGISTER_DEVICE".to_owned(), "false".to_owned())],
        }
    }

    /// Creates a world with a static access token.
    pub(crate) fn logged_in() -> Self {
        let mut world = Self::new();
        world.set("OCTELIUM_ACCESS_TOKEN", "static");
        world
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.home.path().join("state/octelium.db")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Runs `octeliumctl` with a command line.
    pub(crate) fn ctl(&self, line: &str) -> Ended {
        self.run("octeliumctl", &words(line), "")
    }

    pub(crate) fn octelium(&self, line: &str) -> Ended {
        self.run("octelium", &words(line), "")
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str], stdin: &str) -> Ended {
        let mut child = self.command(program, arguments).spawn().unwrap();
        let input = stdin.to_owned();
        let mut pipe = child.stdin.take().unwrap();
        // A program that does not read its input closes the pipe.
        let writer = std::thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ended::from(output)
    }

    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let path = match program {
            "octelium" => env!("CARGO_BIN_EXE_octelium"),
            _ => env!("CARGO_BIN_EXE_octeliumctl"),
        };
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env_clear()
            .env("OCTELIUM_DOMAIN", self.cluster.domain())
            .env("OCTELIUM_CA_CERT", self.cluster.ca_path())
            .env("OCTELIUM_HOME", self.home.path().join("state"))
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }
}

impl Ended {
    /// Asserts success and returns standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "stderr: {}\nstdout: {}",
            self.stderr, self.stdout
        );
        self.stdout
    }

    /// Asserts a failure with this exit code and returns standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "stderr: {}\nstdout: {}",
            self.stderr, self.stdout
        );
        self.stderr
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
