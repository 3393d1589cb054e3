//! The table that comes out.

use std::time::Duration;

/// Prints each figure as it is known.
pub(crate) struct Figures {
    count: usize,
}

impl Figures {
    /// Says what is measured where.
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "# cores={cores} store=sqlite durability=full version={}",
            env!("CARGO_PKG_VERSION")
        );
        println!("# the load comes from the same machine and shares its cores");
        println!("scenario\tmetric\tvalue\tunit\ttarget");
        Self { count: 0 }
    }

    /// One figure. `target` is what it should be, as `>= 5000`; empty where there is none.
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

    /// Percentiles of latencies.
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
