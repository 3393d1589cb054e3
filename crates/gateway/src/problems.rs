//! The problems of a Service configuration.

/// Collects all problems, so that one report shows them all.
#[derive(Default)]
pub(crate) struct Problems {
    messages: Vec<String>,
    /// Settings that have another effect than they say. They do not prevent serving the Service.
    warnings: Vec<String>,
    /// The path of the configuration that is being compiled, if it is not `spec.config`.
    config: Option<String>,
}

const DEFAULT: &str = "spec.config";

impl Problems {
    /// Sets the configuration that later paths below `spec.config` refer to.
    pub(crate) fn of_config(&mut self, path: Option<String>) {
        self.config = path;
    }

    /// Adds a problem. `path` is the path of the field, starting with `spec`.
    pub(crate) fn add(&mut self, path: &str, what: &str) {
        self.messages.push(format!("{} {what}", self.path(path)));
    }

    /// Adds a warning about a setting that has another effect than it says.
    pub(super) fn warn(&mut self, path: &str, what: &str) {
        self.warnings.push(format!("{} {what}", self.path(path)));
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn into_messages(self) -> Vec<String> {
        self.messages
    }

    /// Returns the path of a field in the configuration that is being compiled.
    pub(crate) fn path(&self, path: &str) -> String {
        match (&self.config, path.strip_prefix(DEFAULT)) {
            (Some(config), Some(rest)) => format!("{config}{rest}"),
            _ => path.to_owned(),
        }
    }
}
