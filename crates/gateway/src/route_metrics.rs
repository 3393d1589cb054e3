//! Metrics of each Service. Handles are kept, so that requests do not look them up.

use std::{sync::OnceLock, time::Duration};

use metrics::{Counter, Histogram, counter, histogram};

/// The status classes. `none` counts requests without a response.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of one Service:
///
/// - `gateway_requests_total{service,code}`, with the class of the status (`2xx`)
/// - `gateway_request_duration_seconds{service}`
/// - `gateway_received_bytes_total{service}`
/// - `gateway_sent_bytes_total{service}`
/// - `gateway_shadow_differences_total{service,shadow}`, with the decision of the shadow Policies (`allowed`, `denied`)
pub(crate) struct RouteMetrics {
    service: String,
    /// Indexed like [`CLASSES`].
    requests: [OnceLock<Counter>; CLASSES.len()],
    duration: OnceLock<Histogram>,
    received: OnceLock<Counter>,
    sent: OnceLock<Counter>,
    /// Denied, then allowed.
    shadow: [OnceLock<Counter>; 2],
}

impl RouteMetrics {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            requests: Default::default(),
            duration: OnceLock::new(),
            received: OnceLock::new(),
            sent: OnceLock::new(),
            shadow: Default::default(),
        }
    }

    /// Counts a request that the shadow Policies would decide differently.
    pub(crate) fn count_shadow(&self, allowed: bool) {
        const DECISIONS: [&str; 2] = ["denied", "allowed"];
        let index = usize::from(allowed);
        if let (Some(counter), Some(decision)) = (self.shadow.get(index), DECISIONS.get(index)) {
            counter
                .get_or_init(|| {
                    counter!(
                        "gateway_shadow_differences_total",
                        "service" => self.service.clone(),
                        "shadow" => *decision
                    )
                })
                .increment(1);
        }
    }

    pub(crate) fn record(&self, class: Option<&str>, duration: Duration, received: u64, sent: u64) {
        let service = || self.service.clone();
        let class = class.unwrap_or(CLASSES[0]);
        let mut counters = CLASSES.iter().zip(&self.requests);
        if let Some((&code, requests)) = counters.find(|(code, _)| **code == class) {
            requests
                .get_or_init(
                    || counter!("gateway_requests_total", "service" => service(), "code" => code),
                )
                .increment(1);
        }
        self.duration
            .get_or_init(|| histogram!("gateway_request_duration_seconds", "service" => service()))
            .record(duration.as_secs_f64());
        if received > 0 {
            self.received
                .get_or_init(|| counter!("gateway_received_bytes_total", "service" => service()))
                .increment(received);
        }
        if sent > 0 {
            self.sent
                .get_or_init(|| counter!("gateway_sent_bytes_total", "service" => service()))
                .increment(sent);
        }
    }
}

/// Counts a request that matched no Service.
pub(crate) fn count_unrouted() {
    static UNROUTED: OnceLock<Counter> = OnceLock::new();
    UNROUTED
        .get_or_init(|| counter!("gateway_unrouted_requests_total"))
        .increment(1);
}
