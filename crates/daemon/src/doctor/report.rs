//! The findings of the checks.

use std::fmt;

/// Findings in order of detection.
#[derive(Default)]
pub(crate) struct Report(Vec<Finding>);

struct Finding {
    severity: Severity,
    subject: String,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Fine,
    Warning,
    Problem,
}

impl Report {
    /// Adds a check that passed.
    pub(crate) fn passed(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Fine, subject.into(), text.into());
    }

    /// Adds a warning: it works, but is possibly not intended.
    pub(crate) fn warning(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Warning, subject.into(), text.into());
    }

    /// Adds a problem: it does not work.
    pub(crate) fn problem(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Problem, subject.into(), text.into());
    }

    /// Returns the number of problems.
    pub(crate) fn problems(&self) -> usize {
        let problems = self.0.iter();
        problems
            .filter(|finding| finding.severity == Severity::Problem)
            .count()
    }

    fn add(&mut self, severity: Severity, subject: String, text: String) {
        self.0.push(Finding {
            severity,
            subject,
            text,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| {
            let severity = match finding.severity {
                Severity::Fine => "ok     ",
                Severity::Warning => "warning",
                Severity::Problem => "problem",
            };
            writeln!(f, "{severity}  {}: {}", finding.subject, finding.text)
        })
    }
}
