//! What is wrong with a Service.

/// Collects everything, so that one look at it is enough.
#[derive(Default)]
pub(crate) struct Problems {
    messages: Vec<String>,
    /// Of the configuration that is being compiled, where it is not `spec.config`.
    config: Option<String>,
}

const DEFAULT: &str = "spec.config";

impl Problems {
    /// From here on, paths in `spec.config` stand for those in the configuration at `path`.
    pub(super) fn of_config(&mut self, path: Option<String>) {
        self.config = path;
    }

    /// `path` is that of the field, from `spec` on.
    pub(crate) fn add(&mut self, path: &str, what: &str) {
        self.messages.push(format!("{} {what}", self.path(path)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn into_messages(self) -> Vec<String> {
        self.messages
    }

    /// The path of a field, wherever its configuration is.
    pub(super) fn path(&self, path: &str) -> String {
        match (&self.config, path.strip_prefix(DEFAULT)) {
            (Some(config), Some(rest)) => format!("{config}{rest}"),
            _ => path.to_owned(),
        }
    }
}
