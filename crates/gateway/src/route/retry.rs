//! The retry rule of a Service.

use std::time::Duration;

use api::{core_v1::service::spec::config::http::Retry as Spec, meta_v1};
use domain::{duration, rng::Rng};
use http::StatusCode;
use tokio::time::Instant;

use crate::problems::Problems;

const PATH: &str = "spec.config.http.retry";
const DEFAULT_RETRIES: u32 = 3;
const MOST_RETRIES: u32 = 100;
const DEFAULT_INITIAL: Duration = Duration::from_millis(100);
const DEFAULT_MAXIMUM: Duration = Duration::from_secs(2);
const DEFAULT_ELAPSED: Duration = Duration::from_secs(15);

/// The number and pauses of retries, and the statuses that cause them. The sender must check that a retry is safe.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    most: u32,
    initial: Duration,
    maximum: Duration,
    elapsed: Duration,
    multiplier: f64,
    statuses: Vec<StatusCode>,
    on_server_errors: bool,
}

/// The retry state of one request.
pub(crate) struct Schedule<'a> {
    retry: &'a Retry,
    begun: Instant,
    retries: u32,
    interval: Duration,
}

impl Retry {
    pub(super) fn compile(spec: &Spec, problems: &mut Problems) -> Self {
        if spec.max_retries > MOST_RETRIES {
            problems.add(&format!("{PATH}.maxRetries"), "must be at most 100");
        }
        if spec.multiplier != 0.0 && !(1.0..=10.0).contains(&spec.multiplier) {
            problems.add(&format!("{PATH}.multiplier"), "must be from 1 to 10");
        }
        let mut time =
            |field: &str, given: Option<&meta_v1::Duration>, default: Duration| match given
                .map(duration::from_proto)
            {
                None => default,
                Some(Some(given)) if !given.is_zero() && given <= duration::LONGEST => given,
                Some(_) => {
                    problems.add(&format!("{PATH}.{field}"), "must be 1 millisecond or more");
                    default
                }
            };
        let initial = time(
            "initialInterval",
            spec.initial_interval.as_ref(),
            DEFAULT_INITIAL,
        );
        let maximum = time("maxInterval", spec.max_interval.as_ref(), DEFAULT_MAXIMUM);
        let elapsed = time(
            "maxElapsedTime",
            spec.max_elapsed_time.as_ref(),
            DEFAULT_ELAPSED,
        );
        let mut statuses = Vec::new();
        for (index, code) in spec.status_codes.iter().enumerate() {
            let status = u16::try_from(*code)
                .ok()
                .filter(|code| (200..=599).contains(code))
                .and_then(|code| StatusCode::from_u16(code).ok());
            if status.is_none() {
                let path = format!("{PATH}.statusCodes[{index}]");
                problems.add(&path, "must be from 200 to 599");
            }
            statuses.extend(status);
        }
        Self {
            most: match spec.max_retries {
                0 => DEFAULT_RETRIES,
                most => most,
            },
            initial,
            maximum,
            elapsed,
            multiplier: match spec.multiplier {
                0.0 => 2.0,
                multiplier => f64::from(multiplier),
            },
            statuses,
            on_server_errors: spec.retry_on_server_errors,
        }
    }

    /// Returns true if a response with this status is retried.
    pub(crate) fn retries(&self, status: StatusCode) -> bool {
        (self.on_server_errors && status.is_server_error()) || self.statuses.contains(&status)
    }

    pub(crate) fn begin(&self) -> Schedule<'_> {
        Schedule {
            retry: self,
            begun: Instant::now(),
            retries: 0,
            interval: self.initial,
        }
    }
}

impl Schedule<'_> {
    /// Returns the pause before the next attempt, or `None` if the request must not be retried again.
    pub(crate) fn next(&mut self, rng: &dyn Rng) -> Option<Duration> {
        if self.retries >= self.retry.most {
            return None;
        }
        let longest = self.interval.min(self.retry.maximum);
        // A random pause of at least half the interval, so that requests that failed together do not retry together.
        let mut random = [0; 2];
        rng.fill(&mut random);
        let share = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
        let pause = longest.mul_f64(0.5 + share / 2.0);
        if self.begun.elapsed() + pause > self.retry.elapsed {
            return None;
        }
        self.retries += 1;
        self.interval = Duration::try_from_secs_f64(longest.as_secs_f64() * self.retry.multiplier)
            .unwrap_or(self.retry.maximum);
        Some(pause)
    }

    /// Returns the number of attempts after the first one.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }
}

#[cfg(test)]
mod tests {
    use domain::rng::SeededRng;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_maximum_and_end_with_the_time() {
        let mut problems = Problems::default();
        let seconds = |seconds| {
            Some(meta_v1::Duration {
                r#type: Some(meta_v1::duration::Type::Seconds(seconds)),
            })
        };
        let retry = Retry::compile(
            &Spec {
                max_retries: 100,
                initial_interval: seconds(1),
                max_interval: seconds(4),
                max_elapsed_time: seconds(20),
                ..Spec::default()
            },
            &mut problems,
        );
        assert!(problems.is_empty());
        let rng = SeededRng::new(1);
        let mut schedule = retry.begin();
        let mut total = Duration::ZERO;
        for longest in [1, 2, 4, 4] {
            let pause = schedule.next(&rng).unwrap();
            let longest = Duration::from_secs(longest);
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
            total += pause;
            tokio::time::advance(pause).await;
        }
        while let Some(pause) = schedule.next(&rng) {
            total += pause;
            tokio::time::advance(pause).await;
        }
        assert!(total <= Duration::from_secs(20));
        assert!(schedule.retries() < 100);
    }

    #[test]
    fn wrong_numbers_are_named() {
        let mut problems = Problems::default();
        let spec = Spec {
            max_retries: 101,
            multiplier: 0.5,
            max_interval: Some(meta_v1::Duration::default()),
            status_codes: vec![503, 99],
            ..Spec::default()
        };
        Retry::compile(&spec, &mut problems);
        let messages = problems.into_messages();
        for field in ["maxRetries", "multiplier", "maxInterval", "statusCodes[1]"] {
            let path = format!("{PATH}.{field} ");
            assert!(
                messages.iter().any(|message| message.starts_with(&path)),
                "{messages:?}"
            );
        }
    }
}
