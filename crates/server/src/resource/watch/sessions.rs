//! Finds new Sessions, which the change log does not contain.

use std::{collections::BTreeSet, time::Duration};

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Document, Order, Query};

use crate::{Context, Error};

/// Maximum clock skew between replicas plus the duration of a transaction.
const SKEW: Duration = Duration::from_secs(10);
const PAGE: u32 = 100;

/// The Sessions that were already reported.
pub(super) struct NewSessions {
    since: UnixMillis,
    known: BTreeSet<(UnixMillis, Uid)>,
}

impl NewSessions {
    /// Creates the state before the Sessions are listed.
    pub(super) fn starting_at(now: UnixMillis) -> Self {
        Self {
            since: now,
            known: BTreeSet::new(),
        }
    }

    /// Returns Sessions that were not reported yet, oldest first.
    pub(super) async fn find(&mut self, context: &Context) -> Result<Vec<Document>, Error> {
        let now = context.now();
        let oldest = self.since.saturating_sub(SKEW);
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let page = context
                .store
                .list(Query {
                    kind: Kind::Session,
                    index: None,
                    order: Order::CreatedDescending,
                    offset,
                    limit: PAGE,
                    now,
                })
                .await?;
            offset += u64::from(PAGE);
            let is_last = page.documents.len() < usize::try_from(PAGE).unwrap_or(usize::MAX)
                || page
                    .documents
                    .last()
                    .is_some_and(|document| document.created_at < oldest);
            found.extend(page.documents.into_iter().filter(|document| {
                document.created_at >= oldest
                    && self.known.insert((document.created_at, document.uid))
            }));
            if is_last {
                break;
            }
        }
        self.since = now;
        let forgotten = now.saturating_sub(SKEW).saturating_sub(SKEW);
        self.known
            .retain(|(created_at, _)| *created_at >= forgotten);
        found.reverse();
        Ok(found)
    }
}
