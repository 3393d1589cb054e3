//! Logins with one-time tokens, each of a different User.

use std::sync::{Arc, Mutex};

use api::core_v1::credential::spec::Type;

use crate::{
    api::{Api, spec},
    figures::Figures,
    http::Target,
    load::{AsyncWork, closed_loop},
    replica::Replica,
};

const LOGINS: usize = 8000;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 256;

/// One login with each token.
#[derive(Clone)]
pub(super) struct LogIn(pub(super) Vec<String>);

impl AsyncWork<Api> for LogIn {
    async fn run(&self, api: &mut Api, number: usize) {
        api.log_in(self.0[number].clone()).await;
    }
}

pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    let names: Vec<_> = (0..LOGINS)
        .map(|number| format!("workload-{number}"))
        .collect();
    api.make_workloads(&names, &spec(Type::AuthToken, 1)).await;
    let tokens = secrets(&api, names).await;

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Api::connect(&replica, &target).await);
    }
    let workers = connections.into_iter().cycle().take(STREAMS).collect();
    let cpu = replica.cpu_seconds();
    let (elapsed, mut latencies) = closed_loop(workers, LOGINS, LogIn(tokens)).await;
    let cpu = replica.cpu_seconds() - cpu;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let logins = LOGINS as f64;
    figures.add(
        "one-time-logins",
        "per second",
        logins / elapsed.as_secs_f64(),
        "logins",
        ">= 2000",
    );
    figures.add(
        "one-time-logins",
        "per CPU-second",
        logins / cpu,
        "logins",
        "",
    );
    figures.latencies("one-time-logins", &mut latencies, "");
}

/// Generates the tokens of all Credentials in parallel.
pub(super) async fn secrets(api: &Api, names: Vec<String>) -> Vec<String> {
    let count = names.len();
    let made = Arc::new(Mutex::new(vec![String::new(); count]));
    let workers: Vec<_> = (0..64)
        .map(|_| Maker {
            api: api.clone(),
            made: Arc::clone(&made),
        })
        .collect();
    closed_loop(workers, count, Make(names)).await;
    std::mem::take(&mut *made.lock().unwrap())
}

struct Maker {
    api: Api,
    made: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Make(Vec<String>);

impl AsyncWork<Maker> for Make {
    async fn run(&self, maker: &mut Maker, number: usize) {
        let secret = maker.api.secret(&self.0[number]).await;
        maker.made.lock().unwrap()[number] = secret.secret;
    }
}
