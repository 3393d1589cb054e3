//! Logins of browsers through an identity provider, and the duration of pages.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, Request, header};

use crate::{
    api::Api,
    figures::Figures,
    http::{Http1, Target},
    load::{AsyncWork, closed_loop},
    provider::{CLIENT, Provider},
    replica::Replica,
};

const PEOPLE: usize = 500;
const LOGINS: usize = 4000;
const BROWSERS: usize = 32;
/// The number of people who log in at the same time.
const CROWD: usize = 1000;
const SERVICES: usize = 1000;
const VIEWS: usize = 300;

/// A replica with an identity provider for its people.
struct World {
    replica: Replica,
    target: Target,
    api: Api,
    issuer: String,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("provider.pem");
        let provider = Provider::start(&ca).await;
        let arguments = [
            "--outbound-allow",
            "127.0.0.0/8",
            "--outbound-ca",
            ca.to_str().unwrap(),
        ];
        let replica = Replica::start_in(directory, &arguments);
        let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
        let api = Api::administrator(&replica, &target).await;
        let mut documents = format!(
            "kind: Secret\nmetadata:\n  name: provider\nspec: {{}}\ndata:\n  value: secret\n---\n\
             kind: IdentityProvider\nmetadata:\n  name: provider\nspec:\n  oidc:\n    clientID: {CLIENT}\n    \
             clientSecret:\n      fromSecret: provider\n    issuerURL: {}\n",
            provider.issuer
        );
        for number in 0..PEOPLE {
            let _ = write!(
                documents,
                "---\nkind: User\nmetadata:\n  name: person-{number}\nspec:\n  type: HUMAN\n  authentication:\n    \
                 identities:\n      - identityProvider: provider\n        identifier: person-{number}\n"
            );
        }
        api.apply_documents(&documents).await;
        Self {
            replica,
            target,
            api,
            issuer: provider.issuer,
        }
    }

    async fn browser(&self) -> Browser {
        let mut http = self.target.http1("localhost").await;
        let page = http.browse(Request::builder().uri("/login"), None).await;
        let page = String::from_utf8(page.into_body().to_vec()).unwrap();
        let field = page.split("name=\"provider\" value=\"").nth(1).unwrap();
        Browser {
            http,
            provider: field.split('"').next().unwrap().to_owned(),
            issuer: self.issuer.clone(),
        }
    }
}

struct Browser {
    http: Http1,
    provider: String,
    issuer: String,
}

impl Browser {
    /// Logs in through the provider and returns the cookie of the Session.
    async fn log_in(&mut self, name: &str) -> String {
        let form = format!("provider={}", self.provider);
        let begun = self
            .http
            .browse(Request::builder().uri("/begin"), Some(form))
            .await;
        assert_eq!(begun.status(), 303);
        let place = begun.headers()[header::LOCATION].to_str().unwrap();
        let of_query = |name: &str| {
            let query = place.split_once('?').unwrap().1;
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        let issuer = self.issuer.replace(':', "%3A").replace('/', "%2F");
        let target = format!(
            "/callback?state={}&code={name}.{}&iss={issuer}",
            of_query("state"),
            of_query("nonce"),
        );
        let returning = Request::builder().uri(target).header(
            header::COOKIE,
            cookie(begun.headers(), "__Host-octelium-login"),
        );
        let answer = self.http.browse(returning, None).await;
        assert_eq!(answer.status(), 303, "{:?}", answer.body());
        cookie(answer.headers(), "__Host-octelium-session")
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> String {
    let mut set = headers.get_all(header::SET_COOKIE).iter();
    let found = set.find_map(|cookie| {
        let cookie = cookie.to_str().unwrap().split(';').next()?;
        cookie.starts_with(name).then(|| cookie.to_owned())
    });
    found.unwrap()
}

#[derive(Clone)]
struct LogIn;

impl AsyncWork<Browser> for LogIn {
    async fn run(&self, browser: &mut Browser, number: usize) {
        browser.log_in(&format!("person-{}", number % PEOPLE)).await;
    }
}

/// Measures logins through a provider: the redirect to it, and the callback with a code that is exchanged for an ID
/// token.
pub(crate) async fn logins(figures: &mut Figures) {
    let world = World::start().await;
    let mut browsers = Vec::new();
    for _ in 0..BROWSERS {
        browsers.push(world.browser().await);
    }
    let cpu = world.replica.cpu_seconds();
    let (elapsed, mut latencies) = closed_loop(browsers, LOGINS, LogIn).await;
    let cpu = world.replica.cpu_seconds() - cpu;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let logins = LOGINS as f64;
    let rate = logins / elapsed.as_secs_f64();
    figures.add("browser-logins", "per second", rate, "logins", "");
    let rate = logins / cpu;
    figures.add("browser-logins", "per CPU-second", rate, "logins", ">= 500");
    figures.latencies("browser-logins", &mut latencies, "");

    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        crowd.push(world.browser().await);
    }
    let (_, mut latencies) = closed_loop(crowd, CROWD, LogIn).await;
    figures.latencies("browser-logins-at-once", &mut latencies, "");
}

#[derive(Clone)]
struct View {
    path: &'static str,
    cookie: String,
}

impl AsyncWork<Http1> for View {
    async fn run(&self, http: &mut Http1, _number: usize) {
        let request = Request::builder()
            .uri(self.path)
            .header(header::COOKIE, &self.cookie);
        assert_eq!(http.browse(request, None).await.status(), 200);
    }
}

/// Measures the duration of pages, including the loopback round trip.
pub(crate) async fn pages(figures: &mut Figures) {
    let world = World::start().await;
    let mut documents = String::from(
        "kind: Policy\nmetadata:\n  name: everybody\nspec:\n  rules:\n    - effect: ALLOW\n      condition:\n        \
         matchAny: true\n",
    );
    for number in 0..SERVICES {
        let _ = write!(
            documents,
            "---\nkind: Service\nmetadata:\n  name: service-{number}\nspec:\n  mode: WEB\n  isPublic: true\n  \
             authorization:\n    policies: [everybody]\n  config:\n    upstream:\n      url: http://localhost:1\n"
        );
    }
    world.api.apply_documents(&documents).await;
    let cookie = world.browser().await.log_in("person-0").await;
    for (scenario, path, cookie, target) in [
        ("login-page", "/login", "x=y".to_owned(), "<= 5"),
        ("portal", "/", cookie.clone(), "<= 20"),
        ("portal-search", "/?q=service-77", cookie, "<= 20"),
    ] {
        let http = world.target.http1("localhost").await;
        let view = View { path, cookie };
        let cpu = world.replica.cpu_seconds();
        let (_, mut latencies) = closed_loop(vec![http], VIEWS, view).await;
        let cpu = world.replica.cpu_seconds() - cpu;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = Duration::from_secs_f64(cpu / VIEWS as f64);
        let each = each.as_secs_f64() * 1000.0;
        figures.add(scenario, "CPU time each", each, "ms", target);
        figures.latencies(scenario, &mut latencies, "");
    }
}
