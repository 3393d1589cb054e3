//! Requests from one address while another address attacks.

mod attack;

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use api::core_v1::credential::spec::Type;
use bytes::Bytes;
use http::StatusCode;
use rusqlite::{Connection, OpenFlags};

use self::attack::Attack;
use crate::{
    api::{Api, spec},
    figures::Figures,
    http::{Http1, Target},
    load::{AsyncWork, closed_loop, open_loop},
    replica::Replica,
    upstream,
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CONNECTIONS: usize = 16;
/// The duration of each measurement, with and without the attack.
const SECONDS: f64 = 60.0;
/// The tables to which the attack can add rows. Access events with a User are left out: they belong to the other
/// address.
const TABLES: [&str; 8] = [
    "access WHERE user_uid IS NULL",
    "audit",
    "changes",
    "counters",
    "documents",
    "entries",
    "records",
    "usage",
];

/// `GET /` of a Service.
#[derive(Clone)]
struct Get {
    bearer: String,
}

impl AsyncWork<Http1> for Get {
    async fn run(&self, connection: &mut Http1, _: usize) {
        let request = http::Request::builder()
            .uri("/")
            .header("authorization", &self.bearer);
        let (status, _) = connection.send(request, Bytes::new()).await;
        assert_eq!(status, StatusCode::OK);
    }
}

/// Measures latencies and stored rows. Any response other than 200 fails the measurement.
pub(crate) async fn run(figures: &mut Figures) {
    const NAME: &str = "hostile";
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    api.apply_documents(&upstream::service().await).await;
    let workload = "workload".to_owned();
    let credential = spec(Type::AccessToken, 0);
    api.make_workloads(std::slice::from_ref(&workload), &credential)
        .await;
    let bearer = format!("Bearer {}", api.secret(&workload).await.secret);
    let get = Get { bearer };
    let target = target.from(CLIENT);

    closed_loop(connections(&target).await, 2000, get.clone()).await;
    let (elapsed, _) = closed_loop(connections(&target).await, 40_000, get.clone()).await;
    let rate = 40_000.0 / elapsed.as_secs_f64() / 4.0;
    figures.add(NAME, "a quarter of capacity", rate, "requests/s", "");

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number far below 2^52"
    )]
    let total = (rate * SECONDS) as usize;
    let (_, mut usual) = open_loop(connections(&target).await, total, rate, get.clone()).await;
    figures.latencies("hostile, before the attack", &mut usual, "");

    let rows = rows(&replica.data_dir());
    let memory = replica.resident_megabytes();
    let clients = connections(&target).await;
    let attack = Attack::start(&replica, &target);
    attack.until_under_way().await;
    let cpu = replica.cpu_seconds();
    let begun = Instant::now();
    let measured = tokio::spawn(open_loop(clients, total, rate, get));
    let mut peak = memory;
    while !measured.is_finished() {
        peak = peak.max(replica.resident_megabytes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let (_, mut attacked) = measured.await.unwrap();
    let cpu = (replica.cpu_seconds() - cpu) / begun.elapsed().as_secs_f64();
    figures.add(NAME, "CPUs in use by octeliumd", cpu, "", "");
    for (what, count) in attack.stop() {
        figures.add(NAME, what, count, "", "");
    }
    figures.latencies("hostile, under attack", &mut attacked, "");
    let ratio = percentile_99(&attacked).as_secs_f64() / percentile_99(&usual).as_secs_f64();
    figures.add(NAME, "p99, ratio", ratio, "", "<= 5");
    figures.add(NAME, "memory", peak - memory, "MB", "<= 134");
    // Aggregated events are stored with a short delay.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let added = added(rows, self::rows(&replica.data_dir()));
    for (table, count) in TABLES.iter().zip(added) {
        let metric = format!("stored rows in {table}");
        figures.add(NAME, &metric, count / minutes, "rows/minute", "");
    }
    let stored = added.iter().sum::<f64>() / minutes;
    figures.add(NAME, "stored rows", stored, "rows/minute", "<= 1000");
}

async fn connections(target: &Target) -> Vec<Http1> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(target.http1(upstream::HOST).await);
    }
    connections
}

/// Returns the 99th percentile of sorted latencies.
fn percentile_99(latencies: &[Duration]) -> Duration {
    latencies[latencies.len() * 99 / 100]
}

/// Returns the number of rows of each table.
fn rows(data_dir: &Path) -> [i64; TABLES.len()] {
    let path = data_dir.join(store::sqlite::DATABASE_FILE);
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    TABLES.map(|table| {
        let count = format!("SELECT count(*) FROM {table}");
        database.query_row(&count, [], |row| row.get(0)).unwrap()
    })
}

/// Returns the number of rows added to each table.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn added(before: [i64; TABLES.len()], now: [i64; TABLES.len()]) -> [f64; TABLES.len()] {
    std::array::from_fn(|table| (now[table] - before[table]) as f64)
}
