//! Detects whether the change log is still the one that this process has followed.
//!
//! A failover that loses the end of the log assigns the lost numbers again, to other changes. Therefore each change has
//! a random mark. This process remembers the newest change that it knows. Each statement that reads the log checks in
//! the same snapshot that this change is still there.

use std::time::{Duration, Instant};

use domain::clock::Clock;
use tokio_postgres::{Client, Error};

use super::change::mark_of;
use crate::{Cursor, row};

/// The newest change that this process knows, and its history.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownPosition {
    pub(super) history: u64,
    pub(super) cursor: Cursor,
    /// Empty if the log was empty.
    pub(super) mark: Vec<u8>,
}

/// The result of one poll of the database.
pub(super) struct HistoryPoll {
    /// The newest change.
    pub(super) head: Cursor,
    pub(super) mark: Vec<u8>,
    /// True if the log contains the change that was known before.
    pub(super) continues: bool,
    /// The offset of this process's clock from the database clock, in milliseconds; positive if it is ahead.
    pub(super) clock_ahead: i64,
    /// The time at which the query was sent.
    pub(super) asked: Instant,
}

const POLL: &str = "
SELECT head.cursor, head.mark,
  $1::bigint = 0 OR EXISTS (SELECT FROM changes WHERE cursor = $1 AND mark = $2::bytea),
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM (SELECT) AS one
LEFT JOIN LATERAL (SELECT cursor, mark FROM changes ORDER BY cursor DESC LIMIT 1) AS head ON true";

/// Reads the newest change and the clock of the database, and checks the change that is `known`.
pub(super) async fn poll(
    client: &Client,
    known: &KnownPosition,
    clock: &dyn Clock,
) -> Result<HistoryPoll, Error> {
    let before = clock.now();
    let asked = Instant::now();
    let row = client
        .query_one(POLL, &[&row::to_column(known.cursor.0), &known.mark])
        .await?;
    let (head, mark) = mark_of(row.try_get(0)?, row.try_get(1)?);
    Ok(HistoryPoll {
        head,
        mark,
        continues: row.try_get(2)?,
        clock_ahead: ahead(before.0, asked.elapsed(), row.try_get(3)?),
        asked,
    })
}

/// Returns the offset of the local clock from the remote clock. The local clock showed `before` when the request was
/// sent. The remote clock showed `theirs` at some time before the response, which took `lasted`. A difference that the
/// duration can explain counts as zero.
fn ahead(before: i64, lasted: Duration, theirs: i64) -> i64 {
    let lasted = i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX);
    let after = before.saturating_add(lasted).saturating_add(1);
    if theirs < before {
        before.saturating_sub(theirs)
    } else {
        after.saturating_sub(theirs).min(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_an_answer_takes_is_no_difference_of_clocks_d5() {
        let lasted = Duration::from_secs(1);
        for (theirs, expected) in [
            (10_000, 0),
            (11_000, 0),
            (9_000, 1_000),
            (12_001, -1_000),
            (-1_000, 11_000),
        ] {
            assert_eq!(ahead(10_000, lasted, theirs), expected, "{theirs}");
        }
    }
}
