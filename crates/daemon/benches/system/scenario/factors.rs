//! Step-up of Sessions with TOTP codes, each of a different User.

use std::sync::{Arc, Mutex};

use api::{auth_v1::SessionToken, core_v1::credential::spec::Type, meta_v1::ObjectReference};

use super::logins::secrets;
use crate::{
    api::{Api, code, spec},
    figures::Figures,
    http::Target,
    load::{AsyncWork, closed_loop},
    replica::Replica,
};

/// Each app has one unused code. More would require waiting for the clock.
const FACTORS: usize = 4000;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 256;

/// The Session, the Authenticator and the `otpauth:` URL.
type Ready = (SessionToken, ObjectReference, String);

pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    let names: Vec<_> = (0..FACTORS)
        .map(|number| format!("person-{number}"))
        .collect();
    api.make_people(&names, &spec(Type::AuthToken, 1)).await;
    let tokens = secrets(&api, names).await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Api::connect(&replica, &target).await);
    }
    let ready = Arc::new(Mutex::new(vec![None; FACTORS]));
    let workers = connections.iter().cloned().cycle().take(STREAMS).collect();
    let prepare = Prepare(Arc::new(tokens), Arc::clone(&ready));
    closed_loop(workers, FACTORS, prepare).await;
    let ready = std::mem::take(&mut *ready.lock().unwrap());
    let ready: Vec<Ready> = ready.into_iter().map(Option::unwrap).collect();

    let workers = connections.into_iter().cycle().take(STREAMS).collect();
    let cpu = replica.cpu_seconds();
    let (elapsed, mut latencies) = closed_loop(workers, FACTORS, StepUp(Arc::new(ready))).await;
    let cpu = replica.cpu_seconds() - cpu;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let factors = FACTORS as f64;
    let scenario = "second-factors";
    let per_second = factors / elapsed.as_secs_f64();
    figures.add(scenario, "per second", per_second, "logins", "");
    figures.add(
        scenario,
        "per CPU-second",
        factors / cpu,
        "logins",
        ">= 1000",
    );
    figures.latencies(scenario, &mut latencies, "");
}

/// Logs in and registers an app.
#[derive(Clone)]
struct Prepare(Arc<Vec<String>>, Arc<Mutex<Vec<Option<Ready>>>>);

impl AsyncWork<Api> for Prepare {
    async fn run(&self, api: &mut Api, number: usize) {
        let tokens = api.log_in(self.0[number].clone()).await;
        let (authenticator, url) = api.add_app(&tokens).await;
        self.1.lock().unwrap()[number] = Some((tokens, authenticator, url));
    }
}

/// Raises the Session with the code of the next time step.
#[derive(Clone)]
struct StepUp(Arc<Vec<Ready>>);

impl AsyncWork<Api> for StepUp {
    async fn run(&self, api: &mut Api, number: usize) {
        let (tokens, authenticator, url) = &self.0[number];
        api.step_up(tokens, authenticator, code(url, 1)).await;
    }
}
