//! The scenarios.

mod browser;
mod factors;
mod grants;
mod hostile;
mod logins;
mod memory;
mod peer;
mod revocation;
mod scale;
mod start;

use std::pin::Pin;

use crate::figures::Figures;

type Run = for<'a> fn(&'a mut Figures) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The name, whether it runs when none is asked for, and what it does.
pub(crate) const ALL: [(&str, bool, Run); 12] = [
    ("cold-start", true, |figures| Box::pin(start::run(figures))),
    ("oauth2-grants", true, |figures| {
        Box::pin(grants::run(figures))
    }),
    ("oidc-provider-grants", false, |figures| {
        Box::pin(peer::run(figures))
    }),
    ("one-time-logins", true, |figures| {
        Box::pin(logins::run(figures))
    }),
    ("second-factors", true, |figures| {
        Box::pin(factors::run(figures))
    }),
    ("browser-logins", true, |figures| {
        Box::pin(browser::logins(figures))
    }),
    ("pages", true, |figures| Box::pin(browser::pages(figures))),
    ("revocation", true, |figures| {
        Box::pin(revocation::run(figures))
    }),
    ("hostile", false, |figures| Box::pin(hostile::run(figures))),
    ("login-scale", false, |figures| {
        Box::pin(scale::run(figures))
    }),
    ("revocation-replicas", false, |figures| {
        Box::pin(revocation::between_replicas(figures))
    }),
    ("sessions-memory", false, |figures| {
        Box::pin(memory::run(figures))
    }),
];
