//! Memory with many Sessions, each of which has made a request.

use api::core_v1::credential::spec::Type;

use crate::{
    api::{Api, spec},
    figures::Figures,
    http::Target,
    load::{AsyncWork, closed_loop},
    replica::Replica,
};

const SESSIONS: usize = 100_000;
const USERS: usize = 100;

#[derive(Clone)]
struct LogIn(Vec<String>);

impl AsyncWork<Api> for LogIn {
    async fn run(&self, api: &mut Api, number: usize) {
        let session = api.log_in(self.0[number % self.0.len()].clone()).await;
        api.status(&session.access_token).await;
    }
}

pub(crate) async fn run(figures: &mut Figures) {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    let names: Vec<_> = (0..USERS)
        .map(|number| format!("workload-{number}"))
        .collect();
    api.make_workloads(&names, &spec(Type::AuthToken, 0)).await;
    let mut tokens = Vec::new();
    for name in &names {
        tokens.push(api.secret(name).await.secret);
    }
    let workers = vec![api.clone(); 128];
    let (elapsed, _) = closed_loop(workers, SESSIONS, LogIn(tokens)).await;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = SESSIONS as f64 / elapsed.as_secs_f64();
    figures.add("sessions-memory", "logins per second", rate, "logins", "");
    let resident = replica.resident_megabytes();
    figures.add(
        "sessions-memory",
        "resident at 100000",
        resident,
        "MB",
        "<= 250",
    );
}
