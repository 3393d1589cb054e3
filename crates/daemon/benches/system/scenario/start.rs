//! The time from process start to the first response, and the memory of an idle replica.

use std::time::{Duration, Instant};

use crate::{figures::Figures, http::Target, replica::Replica};

const RUNS: usize = 10;

pub(crate) async fn run(figures: &mut Figures) {
    let mut latencies = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let replica = Replica::start();
        let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
        target.answers().await;
        latencies.push(begun.elapsed());
    }
    figures.latencies("cold-start", &mut latencies, "<= 300");

    let replica = Replica::start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resident = replica.resident_megabytes();
    figures.add("idle", "resident", resident, "MB", "<= 40");
}
