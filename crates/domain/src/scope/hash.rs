//! Hashes of sets of scopes.

use std::collections::BTreeSet;

use api::core_v1::Scope;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Returns a hash of a set of scopes: 43 characters of base64url. Order, spelling and repetition of the scopes do not
/// matter. One OAuth2 Credential has one Session for each hash.
pub fn hash(scopes: &[Scope]) -> String {
    let set: BTreeSet<String> = scopes.iter().flat_map(super::format).collect();
    let mut context = digest::Context::new(&digest::SHA256);
    for scope in &set {
        context.update(scope.as_bytes());
        // A separator that no scope contains.
        context.update(b"\n");
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
