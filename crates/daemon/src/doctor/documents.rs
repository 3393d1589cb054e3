//! Checks of the documents in the store: that they parse, that their secrets can be decrypted and that their references
//! exist.

use std::collections::BTreeSet;

use api::core_v1::{Group, Namespace, Policy, Service, User};
use domain::{clock::UnixMillis, kind::Kind};
use prost::Message;
use store::{Document, Store, StoreError};

use super::Report;
use crate::storage::all;

/// Kinds with an encrypted part.
const SEALED: [Kind; 4] = [
    Kind::SigningKey,
    Kind::Certificate,
    Kind::Secret,
    Kind::Config,
];
/// The tolerated difference between clocks of replicas, in milliseconds.
const CLOCK_TOLERANCE: i64 = 60_000;

/// Checks all documents.
pub(crate) async fn examine(store: &dyn Store, now: UnixMillis, report: &mut Report) {
    if let Err(error) = examine_all(store, now, report).await {
        report.problem("documents", error.to_string());
    }
}

async fn examine_all(
    store: &dyn Store,
    now: UnixMillis,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut latest = UnixMillis(0);
    let mut count = 0_usize;
    for kind in SEALED {
        for document in all(store, kind, now).await? {
            count += 1;
            latest = latest.max(document.created_at);
            if let Err(error) = store.secret(kind, document.uid).await {
                report.problem(format!("{kind} {}", document.name), error.to_string());
            }
        }
    }
    if all(store, Kind::SigningKey, now).await?.is_empty() {
        report.warning(
            "signing keys",
            "there are none: the first start creates one",
        );
    }
    let policies = all(store, Kind::Policy, now).await?;
    for policy in &policies {
        count += 1;
        if Policy::decode(policy.body.as_slice()).is_err() {
            report.problem(
                format!("Policy {}", policy.name),
                "its document cannot be parsed: requests that need it are denied",
            );
        }
    }
    let names: BTreeSet<_> = policies.into_iter().map(|policy| policy.name).collect();
    for kind in [Kind::User, Kind::Group, Kind::Namespace, Kind::Service] {
        for document in all(store, kind, now).await? {
            count += 1;
            latest = latest.max(document.created_at);
            let subject = format!("{kind} {}", document.name);
            let Ok(used) = policies_of(kind, &document) else {
                report.problem(subject, "its document cannot be parsed");
                continue;
            };
            for policy in used.iter().filter(|policy| !names.contains(*policy)) {
                let text =
                    format!("Policy {policy} does not exist: requests that need it are denied");
                report.warning(subject.clone(), text);
            }
        }
    }
    report.passed(
        "documents",
        format!("{count} read, all secrets can be decrypted"),
    );
    if latest.0 > now.0 + CLOCK_TOLERANCE {
        report.problem(
            "clock",
            format!("the latest document was created at {latest}, but the clock shows {now}: set the clock"),
        );
    }
    Ok(())
}

fn policies_of(kind: Kind, document: &Document) -> Result<Vec<String>, prost::DecodeError> {
    macro_rules! policies {
        ($message:ty) => {
            <$message>::decode(document.body.as_slice())?
                .spec
                .and_then(|spec| spec.authorization)
                .map(|authorization| authorization.policies)
                .unwrap_or_default()
        };
    }
    Ok(match kind {
        Kind::User => policies!(User),
        Kind::Group => policies!(Group),
        Kind::Namespace => policies!(Namespace),
        Kind::Service => policies!(Service),
        _ => Vec::new(),
    })
}
