//! The cost of a login with a thousand and with a million Users. The two sides alternate, so that other load on the
//! machine affects both.

use std::time::Instant;

use crate::{
    api::Api,
    figures::Figures,
    http::Target,
    load::closed_loop,
    population::{Population, populate},
    replica::Replica,
    scenario::logins::LogIn,
};

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const ROUNDS: usize = 7;
const LOGINS: usize = 4_000;
const WARM_UP: usize = 4_000;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 256;
const NAME: &str = "login-scale";

struct Side {
    replica: Replica,
    workers: Vec<Api>,
    tokens: Vec<String>,
    rates: Vec<f64>,
    costs: Vec<f64>,
}

pub(crate) async fn run(figures: &mut Figures) {
    let mut sides = Vec::new();
    for users in [FEW, MANY] {
        let begun = Instant::now();
        let population = populate(users, WARM_UP + ROUNDS * LOGINS).await;
        println!(
            "# {users} users made in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        sides.push(Side::start(figures, users, population).await);
    }
    for side in &mut sides {
        side.round(WARM_UP).await;
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            let (rate, cost) = side.round(LOGINS).await;
            side.rates.push(rate);
            side.costs.push(cost);
        }
    }
    for (side, users) in sides.iter_mut().zip([FEW, MANY]) {
        let at = |metric: &str| format!("{metric} at {users} users");
        let (rate, cost) = (median(&mut side.rates), median(&mut side.costs));
        figures.add(NAME, &at("per second"), rate, "logins", "");
        figures.add(NAME, &at("CPU"), cost, "us/login", "");
        let resident = side.replica.resident_megabytes();
        figures.add(NAME, &at("resident"), resident, "MB", "");
    }
    let rate = median(&mut sides[1].rates) / median(&mut sides[0].rates);
    let cost = median(&mut sides[1].costs) / median(&mut sides[0].costs);
    figures.add(NAME, "rate at 1000000 : at 1000", rate, "", ">= 0.80");
    figures.add(NAME, "CPU at 1000000 : at 1000", cost, "", "<= 1.20");
}

impl Side {
    async fn start(figures: &mut Figures, users: usize, population: Population) -> Self {
        let Population { directory, tokens } = population;
        let begun = Instant::now();
        let replica = Replica::start_in(directory, &[]);
        let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
        target.answers().await;
        let metric = format!("start at {users} users");
        let elapsed = begun.elapsed().as_secs_f64() * 1000.0;
        figures.add(NAME, &metric, elapsed, "ms", "<= 300");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Api::connect(&replica, &target).await);
        }
        Self {
            replica,
            workers: connections.into_iter().cycle().take(STREAMS).collect(),
            tokens,
            rates: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// Returns the logins per second, and the CPU time of each in microseconds.
    async fn round(&mut self, logins: usize) -> (f64, f64) {
        let tokens = self.tokens.split_off(self.tokens.len() - logins);
        let cpu = self.replica.cpu_seconds();
        let (elapsed, _) = closed_loop(self.workers.clone(), logins, LogIn(tokens)).await;
        let cpu = self.replica.cpu_seconds() - cpu;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let logins = logins as f64;
        (logins / elapsed.as_secs_f64(), cpu * 1e6 / logins)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
