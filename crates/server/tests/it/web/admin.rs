//! The admin console.

mod access;
mod actions;
mod audit;
mod credentials;
mod lists;
mod policies;

use super::{Browser, people};
use crate::replicas::Replicas;

/// Policies that allow everything, and only reads.
pub(crate) const FULL: &str = "octelium-api-full-access";
pub(crate) const READ: &str = "octelium-api-read-only";

/// Creates a Cluster, and signs in a User with these Policies in a browser.
pub(crate) async fn console(policies: &str) -> (Replicas, Browser) {
    let replicas = people(1).await;
    let browser = administrator(&replicas, "admin", policies).await;
    (replicas, browser)
}

/// Creates a User with these Policies, and signs in.
pub(crate) async fn administrator(replicas: &Replicas, name: &str, policies: &str) -> Browser {
    let spec = format!("{{ type: HUMAN, authorization: {{ policies: [{policies}] }} }}");
    replicas.user(name, &spec).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(replicas, name).await;
    browser
}

/// Returns the first part of a page between two marks.
pub(crate) fn between<'a>(body: &'a str, start: &str, end: &str) -> &'a str {
    let from = body
        .find(start)
        .unwrap_or_else(|| panic!("no {start:?} in {body}"));
    let rest = &body[from + start.len()..];
    &rest[..rest.find(end).unwrap()]
}
