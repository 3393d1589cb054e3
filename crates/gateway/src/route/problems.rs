//! What is wrong with a Service.

/// Collects everything, so that one look at it is enough.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// `path` is that of the field, from `spec` on.
    pub(crate) fn add(&mut self, path: &str, what: &str) {
        self.0.push(format!("{path} {what}"));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_messages(self) -> Vec<String> {
        self.0
    }
}
