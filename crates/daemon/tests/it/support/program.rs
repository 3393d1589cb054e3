//! The programs under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// `octeliumd`.
pub(crate) fn octeliumd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_octeliumd"))
}

/// The folder of all programs.
///
/// # Panics
/// Where the clients have not been built.
pub(crate) fn folder() -> PathBuf {
    let folder = octeliumd().parent().unwrap();
    for program in ["octeliumctl", "octelium"] {
        assert!(
            folder.join(program).exists(),
            "{} is not there: run `cargo test --workspace`, or `cargo build --workspace` before this test",
            folder.join(program).display()
        );
    }
    folder.to_owned()
}

/// Where the programs, and the tools of the tests, are.
pub(crate) fn target() -> &'static Path {
    octeliumd().ancestors().nth(2).unwrap()
}

/// The Python that has `grpcio`.
///
/// # Panics
/// Where it is not installed.
pub(crate) fn python() -> PathBuf {
    let interpreter = target().join("test-tools/python/bin/python");
    assert!(
        interpreter.exists(),
        "{} is not there: run scripts/install-test-tools",
        interpreter.display()
    );
    interpreter
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Outcome {
    /// Itself, where the program succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// What follows `label` on its line of standard output.
    #[track_caller]
    pub(crate) fn value(&self, label: &str) -> String {
        let line = self
            .stdout
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {self:#?}"))
            .trim()
            .to_owned()
    }
}

/// Runs a program to its end, with nothing on its standard input.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    outcome(&output)
}

fn outcome(output: &Output) -> Outcome {
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
