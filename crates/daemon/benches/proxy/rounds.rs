//! Alternating rounds and their results.

use std::time::Duration;

use crate::{figures::Figures, peer::Proxy};

/// The number of turns of each proxy.
pub(crate) const ROUNDS: usize = 7;
/// The duration of a turn.
pub(crate) const TURN: Duration = Duration::from_secs(2);

/// The work of each proxy per CPU-second, by round.
pub(crate) struct Rounds(Vec<(&'static str, Vec<f64>)>);

/// Measures the proxies in alternating turns. `work` returns the amount of work.
pub(crate) fn alternate(proxies: &[&Proxy], work: impl Fn(&Proxy) -> f64) -> Rounds {
    // Warms up caches, pools and allocators.
    for proxy in proxies {
        work(proxy);
    }
    let mut rounds: Vec<_> = proxies
        .iter()
        .map(|proxy| (proxy.name, Vec::new()))
        .collect();
    for _ in 0..ROUNDS {
        for (proxy, (_, figures)) in proxies.iter().zip(&mut rounds) {
            let before = proxy.cpu_seconds();
            let done = work(proxy);
            figures.push(done / (proxy.cpu_seconds() - before));
        }
    }
    Rounds(rounds)
}

impl Rounds {
    /// Prints the median of each proxy, and the ratio of the first proxy to those that have a target.
    pub(crate) fn report(
        &self,
        figures: &mut Figures,
        scenario: &str,
        unit: &str,
        targets: &[(&str, &str)],
    ) {
        for (name, values) in &self.0 {
            figures.add(scenario, name, median(values), unit, "");
        }
        let (ours, our_values) = &self.0[0];
        for (name, values) in &self.0[1..] {
            let target = targets.iter().find(|(peer, _)| peer == name);
            let ratios: Vec<f64> = our_values
                .iter()
                .zip(values)
                .map(|(ours, theirs)| ours / theirs)
                .collect();
            let metric = format!("{ours} / {name}");
            let target = target.map_or("", |(_, target)| target);
            figures.add(scenario, &metric, median(&ratios), "", target);
        }
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
