//! The programs under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub(crate) fn octeliumd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_octeliumd"))
}

/// Returns the folder of all programs.
///
/// # Panics
///
/// Panics if the clients have not been built.
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

/// Returns the target folder, which contains the programs and the tools of the tests.
pub(crate) fn target() -> &'static Path {
    octeliumd().ancestors().nth(2).unwrap()
}

/// Returns the Python interpreter with `grpcio`.
///
/// # Panics
///
/// Panics if it is not installed.
pub(crate) fn python() -> PathBuf {
    let interpreter = target().join("test-tools/python/bin/python");
    assert!(
        interpreter.exists(),
        "{} is not there: run scripts/install-test-tools",
        interpreter.display()
    );
    interpreter
}

/// The output and the exit code of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Returns itself. Panics if the program failed.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Returns the text after `label` on its line of standard output.
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

/// Runs a program until it ends, with empty standard input.
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
