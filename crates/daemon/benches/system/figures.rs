//! The table of results.

use std::time::Duration;

/// Prints each figure when it is measured.
pub(crate) struct Figures {
    count: usize,
}

impl Figures {
    /// Prints the header with the environment.
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "# cores={cores} store=sqlite durability=full version={}",
            env!("CARGO_PKG_VERSION")
        );
        println!("# the load generator runs on the same machine and shares its cores");
        println!("scenario\tmetric\tvalue\tunit\ttarget");
        Self { count: 0 }
    }

    /// Prints one figure. `target` is the expected value, for example `>= 5000`, or empty.
    pub(crate) fn add(
        &mut self,
        scenario: &str,
        metric: &str,
        value: f64,
        unit: &str,
        target: &str,
    ) {
        self.count += 1;
        println!("{scenario}\t{metric}\t{value:.2}\t{unit}\t{target}");
    }

    /// Prints the percentiles of latencies.
    pub(crate) fn latencies(
        &mut self,
        scenario: &str,
        latencies: &mut [Duration],
        target_p99: &str,
    ) {
        latencies.sort_unstable();
        for (metric, percent, target) in
            [("p50", 50, ""), ("p99", 99, target_p99), ("max", 100, "")]
        {
            let index = (latencies.len() * percent / 100).min(latencies.len() - 1);
            let value = latencies[index].as_secs_f64() * 1000.0;
            self.add(scenario, metric, value, "ms", target);
        }
    }
}
