//! A name for a set of scopes.

use std::collections::BTreeSet;

use api::core_v1::Scope;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A short text that is equal for equal sets of scopes, in whatever order, spelling and number they are given: 43
/// characters of base64url. One OAuth2 Credential has one Session for each.
pub fn hash(scopes: &[Scope]) -> String {
    let set: BTreeSet<String> = scopes.iter().flat_map(super::format).collect();
    let mut context = digest::Context::new(&digest::SHA256);
    for scope in &set {
        context.update(scope.as_bytes());
        // No scope has one.
        context.update(b"\n");
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
