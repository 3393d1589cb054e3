//! Large bodies of 16 MiB each.

use crate::{figures::Figures, rounds::alternate, stage::Stage, upstream::LARGE};

const CONNECTIONS: usize = 4;
const UNIT: &str = "MB/CPU-s";

/// Measures both directions.
pub(crate) async fn run(figures: &mut Figures) {
    let stage = Stage::start().await;
    let proxies = [&stage.octeliumd, &stage.nginx, &stage.haproxy];
    let target = [("nginx", ">= 0.9")];
    let rounds = alternate(&proxies, |proxy| {
        let done = stage
            .tools
            .wrk(proxy, CONNECTIONS, "bodies.localhost", "/download");
        done.bytes / 1e6
    });
    rounds.report(figures, "download", UNIT, &target);
    let rounds = alternate(&proxies, |proxy| {
        let done = stage
            .tools
            .upload(proxy, CONNECTIONS, "bodies.localhost", LARGE);
        done.requests * LARGE as f64 / 1e6
    });
    rounds.report(figures, "upload", UNIT, &target);
}
