//! Header fields as Policies read them.

use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use policy::Fields;

/// Header fields of a request. Records whether a Policy read a value that is not UTF-8.
pub(crate) struct HeaderView<'a> {
    headers: &'a HeaderMap,
    misread: AtomicBool,
}

impl<'a> HeaderView<'a> {
    pub(crate) fn new(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            misread: AtomicBool::new(false),
        }
    }

    /// Returns true if a Policy read a value that is not UTF-8. Policies cannot see such a value, but the upstream can.
    pub(crate) fn was_misread(&self) -> bool {
        self.misread.load(Ordering::Relaxed)
    }

    fn text<'v>(&self, value: &'v [u8]) -> Option<&'v str> {
        let text = std::str::from_utf8(value).ok();
        if text.is_none() {
            self.misread.store(true, Ordering::Relaxed);
        }
        text
    }
}

impl Fields for HeaderView<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .and_then(|value| self.text(value.as_bytes()))
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self.headers {
            if let Some(value) = self.text(value.as_bytes()) {
                visit(name.as_str(), value);
            }
        }
    }
}
