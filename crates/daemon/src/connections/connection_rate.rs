//! The rate of new connections of each address prefix. A TLS handshake costs a server more than its client, so the rate
//! is limited.

use std::collections::HashMap;

use domain::address_prefix::AddressPrefix;
use tokio::time::Instant;

/// The number of entries from which full buckets are removed.
const SWEEP_FROM: usize = 4096;

/// The token bucket of each prefix.
pub(super) struct ConnectionRateLimiter {
    per_second: f64,
    burst: f64,
    buckets: HashMap<AddressPrefix, Bucket>,
    sweep_from: usize,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl ConnectionRateLimiter {
    /// Creates the buckets. `per_address` is the number of connections that a prefix can have open. It can open half of
    /// them at once, and then a twenty-fifth of them per second. With the defaults these are 2,000, and 160 per second.
    pub(super) fn new(per_address: usize) -> Self {
        let per_address = f64::from(u32::try_from(per_address).unwrap_or(u32::MAX));
        Self {
            per_second: (per_address / 25.0).max(50.0),
            burst: (per_address / 2.0).max(256.0),
            buckets: HashMap::new(),
            sweep_from: SWEEP_FROM,
        }
    }

    /// Counts a connection of `prefix`. Returns false if the prefix opens connections too fast.
    pub(super) fn admit(&mut self, prefix: AddressPrefix) -> bool {
        let now = Instant::now();
        self.sweep(now);
        let (per_second, burst) = (self.per_second, self.burst);
        let bucket = self.buckets.entry(prefix).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        bucket.tokens = bucket.tokens_at(now, per_second).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Removes full buckets, which have the same effect as no bucket. The cost is spread over all connections.
    fn sweep(&mut self, now: Instant) {
        if self.buckets.len() < self.sweep_from {
            return;
        }
        let (per_second, burst) = (self.per_second, self.burst);
        self.buckets
            .retain(|_, bucket| bucket.tokens_at(now, per_second) < burst);
        self.sweep_from = (self.buckets.len() * 2).max(SWEEP_FROM);
    }
}

impl Bucket {
    fn tokens_at(&self, now: Instant, per_second: f64) -> f64 {
        self.tokens + now.duration_since(self.at).as_secs_f64() * per_second
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn prefix(number: u32) -> AddressPrefix {
        std::net::IpAddr::from(Ipv4Addr::from(number)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_address_is_slowed_down_s02() {
        let mut connection_rate = ConnectionRateLimiter::new(5000);
        let mut count = |number| {
            (0..10_000)
                .filter(|_| connection_rate.admit(prefix(number)))
                .count()
        };
        assert_eq!(count(1), 2500);
        assert_eq!(count(2), 2500);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(count(1), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgotten_when_they_are_quiet_s02() {
        let mut connection_rate = ConnectionRateLimiter::new(5000);
        for number in 0..100_000 {
            assert!(connection_rate.admit(prefix(number)));
            if number % 100 == 0 {
                tokio::time::advance(Duration::from_millis(10)).await;
            }
        }
        assert!(
            connection_rate.buckets.len() <= SWEEP_FROM,
            "{}",
            connection_rate.buckets.len()
        );
    }
}
