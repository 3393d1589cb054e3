//! Writes data to standard output and messages to standard error.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{
    environment::Environment,
    failure::{Failure, Reason},
    text::printable,
};

/// Code of the failure if the reader has closed standard output, as `head` does. It is not reported.
pub(crate) const STDOUT_CLOSED: &str = "NobodyReads";

/// The standard streams.
pub(crate) struct Terminal {
    colour: bool,
    json_errors: bool,
}

#[allow(
    clippy::unused_self,
    reason = "only the owner of the streams can use them"
)]
impl Terminal {
    /// Creates the terminal. Uses color only if standard error is a terminal and `NO_COLOR` is not set (no-color.org).
    pub(crate) fn new(environment: &Environment, json_errors: bool) -> Self {
        let dumb = environment.get("TERM") == Some("dumb");
        Self {
            colour: environment.get("NO_COLOR").is_none() && !dumb && io::stderr().is_terminal(),
            json_errors,
        }
    }

    /// Writes data unchanged.
    ///
    /// # Errors
    /// Returns a failure if standard output cannot be written. Its code is [`STDOUT_CLOSED`] if the reader closed it.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Failure::new(Reason::Failed, STDOUT_CLOSED, ""),
                _ => Failure::input(format!("cannot write to standard output: {error}")),
            })
    }

    /// Writes one line of data.
    ///
    /// # Errors
    /// Returns a failure if standard output cannot be written, as [`Self::data`] does.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.data(&format!("{text}\n"))
    }

    /// Prints a message line to standard error.
    pub(crate) fn say(&self, text: &str) {
        // Standard error may be closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(&self, text: &str) {
        self.say(&format!("{} {text}", self.paint("33", "warning:")));
    }

    /// Prints a failure to standard error.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.json_errors {
            // JSON has a separate field for the code.
            let code = format!(" ({})", failure.code);
            let message = failure.message.strip_suffix(&code);
            let mut error = serde_json::json!({
                "code": failure.code,
                "message": message.unwrap_or(&failure.message),
            });
            if let Some(fields) = error.as_object_mut() {
                if let Some(hint) = &failure.hint {
                    fields.insert("hint".to_owned(), hint.as_str().into());
                }
                if let Some(id) = &failure.request_id {
                    fields.insert("requestId".to_owned(), id.as_str().into());
                }
            }
            self.say(&serde_json::json!({ "error": error }).to_string());
            return;
        }
        self.say(&format!(
            "{} {}",
            self.paint("1;31", "error:"),
            printable(&failure.message)
        ));
        if let Some(hint) = &failure.hint {
            self.say(&format!(
                "{} {}",
                self.paint("36", "hint:"),
                printable(hint)
            ));
        }
        if let Some(id) = &failure.request_id {
            self.say(&format!("request id: {}", printable(id)));
        }
    }

    /// Returns whether a person can read messages and answer prompts.
    pub(crate) fn is_attended(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a yes/no question. Returns `None` without a terminal.
    pub(crate) fn confirm(&self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{question} [y/N] ");
        let _ = stderr.flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Prompts for a secret without showing it.
    ///
    /// # Errors
    /// Returns a failure with the hint `instead` if standard input is not a terminal.
    pub(crate) fn secret(&self, prompt: &str, instead: &str) -> Result<String, Failure> {
        if !io::stdin().is_terminal() {
            return Err(
                Failure::new(Reason::Usage, "Usage", "no value was given").hint(instead.to_owned())
            );
        }
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::input(format!("cannot read from the terminal: {error}")))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
