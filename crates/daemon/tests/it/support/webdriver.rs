//! A real browser, controlled with W3C `WebDriver`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::target;

const PATIENCE: Duration = Duration::from_secs(30);
/// Tests start in parallel, and the port that the driver chose can be taken before it binds it.
const ATTEMPTS: u32 = 10;
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless browser with its own profile.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    _home: TempDir,
}

/// The kinds of [`Browser::authenticator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authenticator {
    Platform,
    U2f,
    /// A security key without user verification.
    Unverifying,
}

/// Starts the driver and returns its port, or `None` if it ended because another process took the port.
fn drive(home: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .env("HOME", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("chromedriver: {error}: run scripts/install-test-tools"));
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse::<u16>().ok()
    });
    if port.is_none() {
        driver.wait().unwrap();
    }
    Some((driver, port?))
}

impl Browser {
    /// Starts a browser with a new profile.
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (driver, port) = (0..ATTEMPTS)
            .find_map(|_| drive(home.path()))
            .expect("chromedriver says its port");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                // The tests trust the Cluster's authority only with `acceptInsecureCerts`.
                "prefs": {"webauthn": {"allow_with_broken_certs": true}},
                "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--window-size=1280,900",
            ]},
        }}});
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = call(Method::POST, &base, &capabilities).await;
        let id = answer["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer:#}"));
        Self {
            session: format!("{base}/{id}"),
            driver,
            _home: home,
        }
    }

    /// Opens a page and waits until it has loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    pub(crate) async fn url(&self) -> String {
        let url = call(Method::GET, &format!("{}/url", self.session), &Value::Null).await;
        url.as_str().unwrap().to_owned()
    }

    /// Returns the visible text of the page.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page contains `text`.
    pub(crate) async fn sees(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let page = self.text().await;
            if page.contains(text) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no {text:?} at {}:\n{page}",
                self.url().await
            );
            tokio::task::yield_now().await;
        }
    }

    /// Clicks the first element that matches a CSS selector.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), json!({}))
            .await;
    }

    /// Types into a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        let typed = json!({"text": text});
        self.post(&format!("/element/{element}/value"), typed).await;
    }

    /// Returns the result of a script.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("/execute/sync", body).await
    }

    /// Returns the value that a script passes to its last argument.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("/execute/async", body).await
    }

    /// Adds a virtual authenticator (Web Authentication Level 3 §11): a platform authenticator with user verification,
    /// or a security key. Returns its id.
    pub(crate) async fn authenticator(&self, kind: Authenticator) -> String {
        let parameters = match kind {
            Authenticator::Platform => json!({
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
                "hasUserVerification": true, "isUserVerified": true,
            }),
            Authenticator::U2f => json!({"protocol": "ctap1/u2f", "transport": "usb"}),
            Authenticator::Unverifying => json!({
                "protocol": "ctap2", "transport": "usb", "hasResidentKey": false,
                "hasUserVerification": false,
            }),
        };
        let id = self.post("/webauthn/authenticator", parameters).await;
        id.as_str().unwrap().to_owned()
    }

    /// Returns the credentials of an authenticator, including private keys and counters.
    pub(crate) async fn credentials(&self, authenticator: &str) -> Vec<Value> {
        let place = format!(
            "{}/webauthn/authenticator/{authenticator}/credentials",
            self.session
        );
        let credentials = call(Method::GET, &place, &Value::Null).await;
        credentials.as_array().unwrap().clone()
    }

    /// Replaces the credentials of an authenticator. Credentials with an older counter simulate a cloned key.
    pub(crate) async fn replace_credentials(&self, authenticator: &str, credentials: &[Value]) {
        let place = format!("/webauthn/authenticator/{authenticator}");
        let all = format!("{}{place}/credentials", self.session);
        call(Method::DELETE, &all, &Value::Null).await;
        for credential in credentials {
            let place = format!("{place}/credential");
            self.post(&place, credential.clone()).await;
        }
    }

    /// Returns the names of the cookies for the host of the current page.
    pub(crate) async fn cookies(&self) -> Vec<String> {
        let cookies = call(
            Method::GET,
            &format!("{}/cookie", self.session),
            &Value::Null,
        )
        .await;
        let names = cookies.as_array().unwrap().iter();
        names
            .map(|cookie| cookie["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Runs a script in each page before the scripts of the page.
    pub(crate) async fn before_pages(&self, script: &str) {
        let parameters = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script},
        });
        self.post("/goog/cdp/execute", parameters).await;
    }

    /// Sets the preferred color scheme.
    pub(crate) async fn prefers(&self, scheme: &str) {
        // Animations are disabled, so that the checks see the final state.
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        let parameters =
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.post("/goog/cdp/execute", parameters).await;
    }

    /// Sets the width of the window. Below 600 pixels it emulates a phone.
    pub(crate) async fn width(&self, width: u32) {
        let parameters = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        }});
        self.post("/goog/cdp/execute", parameters).await;
    }

    /// Saves pictures of the page for review: wide and narrow, light and dark.
    pub(crate) async fn picture(&self, name: &str) {
        let folder = target().join("test-tools/pictures");
        fs::create_dir_all(&folder).unwrap();
        for (width, shape) in [(1280, "wide"), (390, "narrow")] {
            self.width(width).await;
            for scheme in ["light", "dark"] {
                self.prefers(scheme).await;
                let place = format!("{}/screenshot", self.session);
                let picture = call(Method::GET, &place, &Value::Null).await;
                let picture = STANDARD.decode(picture.as_str().unwrap()).unwrap();
                fs::write(folder.join(format!("{name}-{shape}-{scheme}.png")), picture).unwrap();
            }
        }
        self.width(1280).await;
    }

    /// Asserts that axe-core finds no serious problem, light and dark, and that the page fits a phone.
    pub(crate) async fn is_accessible(&self) {
        let axe = target().join("test-tools/node/node_modules/axe-core/axe.min.js");
        let axe = fs::read_to_string(&axe).unwrap_or_else(|error| {
            panic!("{}: {error}: run scripts/install-test-tools", axe.display())
        });
        for scheme in ["light", "dark"] {
            self.prefers(scheme).await;
            self.run(&axe).await;
            let script = "const done = arguments[arguments.length - 1];
                axe.run().then(result => done(result.violations
                    .filter(found => ['serious', 'critical'].includes(found.impact))
                    .map(found => found.id + ': ' + found.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))));";
            let found = self.run_async(script).await;
            assert_eq!(found, json!([]), "{scheme}, {}", self.url().await);
        }
        self.width(360).await;
        let overflow =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(self.run(overflow).await, json!(0), "{}", self.url().await);
        self.width(1280).await;
    }

    async fn find(&self, selector: &str) -> String {
        let begun = Instant::now();
        loop {
            let body = json!({"using": "css selector", "value": selector});
            let found = self.post("/elements", body).await;
            if let Some(element) = found[0][ELEMENT].as_str() {
                return element.to_owned();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no {selector} at {}:\n{}",
                self.url().await,
                self.text().await
            );
            tokio::task::yield_now().await;
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        call(Method::POST, &format!("{}{path}", self.session), &body).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its driver only if the session is deleted.
        let quit = Command::new("curl")
            .args([
                "--silent",
                "--max-time",
                "10",
                "-X",
                "DELETE",
                &self.session,
            ])
            .stdout(Stdio::null())
            .status();
        drop(quit);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

async fn call(method: Method, url: &str, body: &Value) -> Value {
    let body = match body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let mut answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(status.is_success(), "{url}: {answer:#}");
    answer["value"].take()
}
