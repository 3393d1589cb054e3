//! Latency at half of the maximum rate of the slowest proxy.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    figures::Figures,
    http::{Http1, Target},
    load::{AsyncWork, closed_loop},
    paced::paced,
    peer::Proxy,
    rounds::{ROUNDS, TURN, median},
    stage::Stage,
};

const CONNECTIONS: usize = 16;
const SATURATING: usize = 20_000;

#[derive(Clone)]
struct Get(String);

impl AsyncWork<Http1> for Get {
    async fn run(&self, connection: &mut Http1, _number: usize) {
        let request = ::http::Request::builder()
            .uri("/")
            .header("authorization", &self.0);
        let (status, body) = connection.send(request, Bytes::new()).await;
        assert_eq!(status, 200, "{body:?}");
    }
}

/// p50 and p99 of each round.
#[derive(Default)]
struct Percentiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Percentiles {
    fn add(&mut self, mut latencies: Vec<Duration>) {
        latencies.sort_unstable();
        let micros =
            |percent: usize| latencies[latencies.len() * percent / 100].as_secs_f64() * 1e6;
        self.p50.push(micros(50));
        self.p99.push(micros(99));
    }
}

pub(crate) async fn run(figures: &mut Figures) {
    let stage = Stage::start().await;
    let proxies = [&stage.octeliumd, &stage.nginx, &stage.nginx_auth_request];
    let mut rate = f64::MAX;
    for proxy in proxies {
        let get = Get(proxy.authorization.clone());
        let (elapsed, _) = closed_loop(connections(proxy).await, SATURATING, get).await;
        rate = rate.min(SATURATING as f64 / elapsed.as_secs_f64() / 2.0);
    }
    figures.add("latency", "rate", rate, "requests/s", "");

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousands"
    )]
    let total = (rate * TURN.as_secs_f64()) as usize;
    let mut percentiles: [Percentiles; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (proxy, percentiles) in proxies.iter().zip(&mut percentiles) {
            let get = Get(proxy.authorization.clone());
            percentiles.add(paced(connections(proxy).await, total, rate, get).await);
        }
    }
    for (proxy, percentiles) in proxies.iter().zip(&percentiles) {
        let p50 = format!("{} p50", proxy.name);
        figures.add("latency", &p50, median(&percentiles.p50), "us", "");
        let p99 = format!("{} p99", proxy.name);
        figures.add("latency", &p99, median(&percentiles.p99), "us", "");
    }
    let [ours, nginx, checked] = &percentiles;
    let pairs = |ours: &[f64], theirs: &[f64], combine: fn(f64, f64) -> f64| {
        let pairs = ours.iter().zip(theirs);
        median(
            &pairs
                .map(|(ours, theirs)| combine(*ours, *theirs))
                .collect::<Vec<_>>(),
        )
    };
    let added = pairs(&ours.p50, &nginx.p50, |ours, theirs| ours - theirs);
    figures.add("latency", "p50, octeliumd - nginx", added, "us", "<= 150");
    let ratio = pairs(&ours.p99, &checked.p99, |ours, theirs| ours / theirs);
    let metric = "p99, octeliumd / nginx auth_request";
    figures.add("latency", metric, ratio, "", "<= 1.2");
}

async fn connections(proxy: &Proxy) -> Vec<Http1> {
    let target = Target::new(proxy.address, &proxy.certificate);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(target.http1("app.localhost").await);
    }
    connections
}
