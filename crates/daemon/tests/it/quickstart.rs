//! `octeliumd quickstart`, and every command that it suggests.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::program::{folder, octeliumd, run};

struct Quickstart {
    process: Child,
    output: String,
}

impl Quickstart {
    fn start(directory: &Path, listen: &str) -> Self {
        folder();
        let mut process = Command::new(octeliumd())
            .args([
                "quickstart",
                "--listen",
                listen,
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .current_dir(directory)
            .env_remove("OCTELIUM_DOMAIN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            output.push_str(&line);
            output.push('\n');
            if line.contains("could not be set up") || line.contains("create credential") {
                break;
            }
        }
        Self { process, output }
    }

    fn port(&self) -> String {
        let (_, rest) = self
            .output
            .split_once("Serving at https://127.0.0.1:")
            .expect(&self.output);
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap()
            .to_owned()
    }

    /// Returns the indented lines after `Try`.
    fn commands(&self) -> String {
        let (_, rest) = self.output.split_once("Try").expect(&self.output);
        let commands = rest.lines().skip(1).filter(|line| line.starts_with("  "));
        commands.map(str::trim).collect::<Vec<_>>().join("\n")
    }

    fn stop(&mut self) {
        let command = format!("kill -TERM {}", self.process.id());
        run(Command::new("sh").arg("-c").arg(command)).success();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_shows_an_allowed_and_a_denied_request_and_its_commands_work() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Quickstart::start(directory.path(), "127.0.0.1:0");
    assert!(first.output.contains("/hello -> 200"), "{}", first.output);
    assert!(first.output.contains("/hello -> 403"), "{}", first.output);
    let typed = |commands: &str| {
        run(Command::new("sh")
            .arg("-ec")
            .arg(commands)
            .env("OCTELIUM_HOME", directory.path().join("client"))
            .current_dir(directory.path()))
    };
    let tried = typed(&first.commands()).success();
    assert!(
        tried.stdout.contains("hello from the demo upstream"),
        "{tried:#?}"
    );
    assert!(tried.stdout.contains("Access Token:"), "{tried:#?}");

    // The second run continues with the state of the first.
    let port = first.port();
    first.stop();
    let second = Quickstart::start(directory.path(), &format!("127.0.0.1:{port}"));
    assert!(second.output.contains("/hello -> 200"), "{}", second.output);
    assert!(second.output.contains("/hello -> 403"), "{}", second.output);
    let again = second.commands().replace("my-token", "my-other-token");
    typed(&again).success();
}
