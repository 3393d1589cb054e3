//! Request headers in the Policy context.

use http::{HeaderMap, header};
use policy::Fields;

/// Request headers without those that contain secrets.
pub(super) struct Headers<'a>(pub(super) &'a HeaderMap);

fn is_secret(name: &str) -> bool {
    name == "x-octelium-auth"
        || name == "x-octelium-refresh-token"
        || name == header::AUTHORIZATION.as_str()
        || name == header::COOKIE.as_str()
}

impl Fields for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if is_secret(name) {
            return None;
        }
        self.0.get(name)?.to_str().ok()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for name in self.0.keys() {
            if let Some(value) = self.get(name.as_str()) {
                visit(name.as_str(), value);
            }
        }
    }
}
