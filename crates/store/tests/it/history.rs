//! Linearizability check (E01) of what concurrent clients of a store saw, across crashes.
//!
//! A document that is written only by compare-and-set is a register whose values are numbered by revisions. A history
//! of such registers is linearizable exactly if (1) no revision was written twice, (2) every read returns the value
//! written with its revision, and (3) no operation contradicts one that ended before it began. An operation with an
//! unknown outcome may have taken effect at any time after it began.

use std::collections::BTreeMap;

/// An operation of a client and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The index of the document.
    pub(crate) register: usize,
    /// Start time, on a clock that all clients share.
    pub(crate) began: u128,
    /// End time; `None` if the outcome is unknown.
    pub(crate) ended: Option<u128>,
    pub(crate) seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Read {
        revision: u64,
        value: String,
    },
    /// The document was at `expected`, and is now at the next revision.
    Wrote {
        expected: u64,
        value: String,
    },
    /// The document was not at `expected`.
    Refused {
        expected: u64,
    },
    /// The outcome of the write is unknown.
    Unknown {
        expected: u64,
        value: String,
    },
}

/// Returns why a history is impossible, or `None` if it is linearizable.
pub(crate) fn contradiction(history: &[Event]) -> Option<String> {
    let mut registers: BTreeMap<usize, Vec<&Event>> = BTreeMap::new();
    for event in history {
        registers.entry(event.register).or_default().push(event);
    }
    registers.values().find_map(|events| of_register(events))
}

/// The acknowledged write of a revision, or the writes with an unknown outcome that may have created it.
#[derive(Default)]
struct Made {
    acknowledged: Option<(u128, u128, String)>,
    possible: Vec<(u128, String)>,
}

impl Made {
    /// Returns the earliest time at which the revision can have existed.
    fn earliest(&self, value: Option<&str>) -> Option<u128> {
        match &self.acknowledged {
            Some((began, ..)) => Some(*began),
            None => self
                .possible
                .iter()
                .filter(|(_, written)| value.is_none_or(|value| value == written))
                .map(|(began, _)| *began)
                .min(),
        }
    }
}

fn of_register(events: &[&Event]) -> Option<String> {
    let mut made: BTreeMap<u64, Made> = BTreeMap::new();
    for event in events {
        match &event.seen {
            Seen::Wrote { expected, value } => {
                let ended = event.ended?;
                let write = (event.began, ended, value.clone());
                let before = made
                    .entry(expected + 1)
                    .or_default()
                    .acknowledged
                    .replace(write);
                if before.is_some() {
                    return Some(format!("revision {} was made twice", expected + 1));
                }
            }
            Seen::Unknown { expected, value } => made
                .entry(expected + 1)
                .or_default()
                .possible
                .push((event.began, value.clone())),
            Seen::Read { .. } | Seen::Refused { .. } => {}
        }
    }
    events
        .iter()
        .find_map(|event| of_event(event, &made).or_else(|| of_order(event, events)))
}

/// Returns a contradiction if the observed revision was never written, or was written after it was observed.
fn of_event(event: &Event, made: &BTreeMap<u64, Made>) -> Option<String> {
    let ended = event.ended?;
    match &event.seen {
        Seen::Read { revision: 1, .. } | Seen::Wrote { expected: 1, .. } | Seen::Unknown { .. } => {
            None
        }
        Seen::Read { revision, value } => {
            let write = made.get(revision);
            let is_of = write.is_some_and(|write| match &write.acknowledged {
                Some((_, _, written)) => written == value,
                None => write.possible.iter().any(|(_, written)| written == value),
            });
            if !is_of {
                return Some(format!("{event:?} read a value that was never written"));
            }
            let earliest = write.and_then(|write| write.earliest(Some(value)));
            earliest
                .filter(|began| *began > ended)
                .map(|_| format!("{event:?} read what was written later"))
        }
        Seen::Refused { expected } => {
            let next = made
                .get(&(expected + 1))
                .and_then(|made| made.earliest(None));
            match next {
                Some(began) if began <= ended => None,
                _ => Some(format!("{event:?}, and nothing had changed it")),
            }
        }
        Seen::Wrote { expected, .. } => {
            let before = made.get(expected).and_then(|made| made.earliest(None));
            match before {
                Some(began) if began <= ended => None,
                _ => Some(format!(
                    "{event:?} depends on a value that was never written"
                )),
            }
        }
    }
}

/// Returns a contradiction between the event and one that ended before it began.
fn of_order(event: &Event, events: &[&Event]) -> Option<String> {
    let at_most = match &event.seen {
        Seen::Read { revision, .. } => *revision,
        Seen::Wrote { expected, .. } => *expected,
        // A failed write says nothing about the latest revision.
        Seen::Refused { .. } | Seen::Unknown { .. } => return None,
    };
    let earlier = events
        .iter()
        .filter(|earlier| earlier.ended.is_some_and(|ended| ended < event.began));
    for earlier in earlier {
        let at_least = match &earlier.seen {
            Seen::Read { revision, .. } => *revision,
            // A refused write saw a later revision, because `expected` is always a revision that was read.
            Seen::Wrote { expected, .. } | Seen::Refused { expected } => expected + 1,
            Seen::Unknown { .. } => continue,
        };
        if at_most < at_least {
            return Some(format!("{event:?} does not know of {earlier:?}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(began: u128, ended: u128, seen: Seen) -> Event {
        Event {
            register: 0,
            began,
            ended: Some(ended),
            seen,
        }
    }

    fn wrote(began: u128, ended: u128, expected: u64, value: &str) -> Event {
        let value = value.to_owned();
        event(began, ended, Seen::Wrote { expected, value })
    }

    fn read(began: u128, ended: u128, revision: u64, value: &str) -> Event {
        let value = value.to_owned();
        event(began, ended, Seen::Read { revision, value })
    }

    #[test]
    fn e01_the_model_accepts_linearizable_histories() {
        let lost = Event {
            ended: None,
            ..event(
                5,
                5,
                Seen::Unknown {
                    expected: 2,
                    value: "b".to_owned(),
                },
            )
        };
        let history = [
            wrote(1, 3, 1, "a"),
            read(2, 4, 1, ""),
            read(2, 4, 2, "a"),
            lost,
            read(9, 10, 3, "b"),
            event(9, 10, Seen::Refused { expected: 2 }),
        ];
        assert_eq!(contradiction(&history), None);
    }

    #[test]
    fn e01_the_model_refuses_histories_that_are_not_linearizable() {
        for impossible in [
            vec![wrote(1, 2, 1, "a"), wrote(3, 4, 1, "b")],
            vec![wrote(1, 2, 1, "a"), read(3, 4, 1, "")],
            vec![wrote(1, 2, 1, "a"), read(3, 4, 2, "b")],
            vec![wrote(5, 6, 1, "a"), read(3, 4, 2, "a")],
            vec![event(1, 2, Seen::Refused { expected: 1 })],
            vec![wrote(1, 2, 1, "a"), wrote(3, 4, 2, "b"), read(5, 6, 2, "a")],
            vec![wrote(1, 2, 3, "a")],
        ] {
            assert!(contradiction(&impossible).is_some(), "{impossible:?}");
        }
    }
}
