//! Logins at a real SAML identity provider, and logouts from either side.

use std::{process::Command, time::Instant};

use authn::saml::testing::simplesamlphp::{PASSWORD, Settings, Simplesamlphp, USER, value_of};
use tempfile::TempDir;

use crate::support::{
    cluster::{Cluster, Person},
    program::run,
};

/// The browser of one person: `curl`, which follows redirects and stores cookies.
struct Browser {
    home: TempDir,
    origin: String,
    ca: String,
}

/// The page that the browser shows.
struct Page {
    url: String,
    body: String,
}

impl Browser {
    fn new(cluster: &Cluster) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            origin: format!("https://{}", cluster.domain()),
            ca: cluster.ca().display().to_string(),
        }
    }

    fn get(&self, path: &str) -> Page {
        self.curl(&[&self.url(path)])
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let url = self.url(path);
        let origin = format!("Origin: {}", self.origin);
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut arguments = vec![url.as_str()];
        if url.starts_with(&self.origin) {
            arguments.extend(["--header", &origin]);
        }
        for field in &fields {
            arguments.extend(["--data-urlencode", field]);
        }
        self.curl(&arguments)
    }

    /// Selects the provider, logs in there, and returns.
    fn log_in(&self, provider: &str) -> Page {
        let login = self.get("/login");
        assert!(login.body.contains(provider), "{}", login.body);
        let uid = value_of(&login.body, "provider").unwrap();
        let mut page = self.post("/begin", &[("provider", &uid)]);
        if let Some(state) = value_of(&page.body, "AuthState") {
            let fields = [
                ("username", USER),
                ("password", PASSWORD),
                ("AuthState", state.as_str()),
            ];
            page = self.post(&page.url, &fields);
        }
        let response =
            value_of(&page.body, "SAMLResponse").unwrap_or_else(|| panic!("{}", page.body));
        let state = value_of(&page.body, "RelayState").unwrap();
        self.post(
            "/callback",
            &[("SAMLResponse", &response), ("RelayState", &state)],
        )
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with('/') {
            format!("{}{path}", self.origin)
        } else {
            path.to_owned()
        }
    }

    fn curl(&self, arguments: &[&str]) -> Page {
        let jar = self.home.path().join("cookies");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--location",
            "--max-time",
            "30",
            "--cacert",
            &self.ca,
        ])
        .arg("--cookie")
        .arg(&jar)
        .arg("--cookie-jar")
        .arg(&jar)
        .args(["--write-out", "\n%{url_effective}"])
        .args(arguments);
        let text = run(&mut curl).success().stdout;
        let (body, url) = text.trim_end().rsplit_once('\n').unwrap();
        Page {
            url: url.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// Creates a provider and a Cluster that trust each other.
fn federate(cluster: &Cluster, admin: &Person, settings: Settings) -> Simplesamlphp {
    let metadata = Browser::new(cluster).get("/saml/metadata").body;
    let idp = Simplesamlphp::start(&metadata, settings).unwrap();
    let described = idp.metadata().unwrap();
    let indented = described.replace('\n', "\n        ");
    let documents = format!(
        "kind: IdentityProvider
metadata:
  name: corp
spec:
  displayName: Corporation
  saml:
    identifierAttribute: uid
    metadata: |
        {indented}
---
kind: User
metadata:
  name: alice
spec:
  type: HUMAN
  authentication:
    identities:
      - identityProvider: corp
        identifier: {USER}
"
    );
    admin
        .sh_with_input("octeliumctl apply -", &documents)
        .success();
    idp
}

fn sessions(admin: &Person) -> usize {
    let listed = admin
        .sh("octeliumctl get session --user alice -o json")
        .success();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    listed["items"].as_array().unwrap().len()
}

#[test]
fn a_person_logs_in_and_out_at_a_real_provider() {
    let cluster = Cluster::start();
    let admin = cluster.administrator();
    let settings = Settings {
        encrypts: false,
        signs_response: true,
    };
    let idp = federate(&cluster, &admin, settings);
    let browser = Browser::new(&cluster);

    let portal = browser.log_in("Corporation");
    assert!(
        portal.body.contains("alice"),
        "{}: {}",
        portal.url,
        portal.body
    );
    assert_eq!(sessions(&admin), 1);

    // Sign out of the Cluster, then of the provider.
    let profile = browser.get("/profile");
    let token = value_of(&profile.body, "token").unwrap();
    let out = browser.post("/logout", &[("token", &token)]);
    assert_eq!(sessions(&admin), 0);
    let way = out
        .body
        .split("href=\"http://127.0.0.1")
        .nth(1)
        .unwrap_or_else(|| panic!("{}", out.body));
    let way = way.split('"').next().unwrap().replace("&amp;", "&");
    let ended = browser.get(&format!("http://127.0.0.1{way}"));
    assert!(
        ended
            .body
            .contains("Your sessions here and at Corporation have ended"),
        "{}: {}",
        ended.url,
        ended.body
    );

    // The provider asks for the password again, so its session has ended. Now the provider ends the Session.
    let portal = browser.log_in("Corporation");
    assert!(portal.body.contains("alice"), "{}", portal.body);
    assert_eq!(sessions(&admin), 1);
    let done = format!("{}/login", browser.origin);
    let begin = idp
        .metadata_url()
        .replace("metadata.php", &format!("initSLO.php?RelayState={done}"));
    let after = browser.get(&begin);
    assert_eq!(sessions(&admin), 0, "{}: {}", after.url, after.body);
    assert!(
        after.body.contains("Sign in"),
        "{}: {}",
        after.url,
        after.body
    );
}

#[test]
fn assertions_encrypted_by_a_real_provider_are_accepted() {
    // The provider encrypts with CBC, which is accepted because the response is signed.
    let cluster = Cluster::start();
    let admin = cluster.administrator();
    let settings = Settings {
        encrypts: true,
        signs_response: true,
    };
    let _idp = federate(&cluster, &admin, settings);
    let portal = Browser::new(&cluster).log_in("Corporation");
    assert!(
        portal.body.contains("alice"),
        "{}: {}",
        portal.url,
        portal.body
    );
    assert_eq!(sessions(&admin), 1);
}

#[test]
fn w06_unsigned_encrypted_assertions_of_a_real_provider_are_refused() {
    let cluster = Cluster::start();
    let admin = cluster.administrator();
    let settings = Settings {
        encrypts: true,
        signs_response: false,
    };
    let _idp = federate(&cluster, &admin, settings);
    let refused = Browser::new(&cluster).log_in("Corporation");
    assert!(
        !refused.body.contains("alice"),
        "{}: {}",
        refused.url,
        refused.body
    );
    assert_eq!(sessions(&admin), 0);
    // Refusals are written in batches.
    let begun = Instant::now();
    loop {
        let events = admin
            .sh("octeliumctl get audit --type session.created -o json")
            .success();
        if events.stdout.contains("saml_encryption") {
            return;
        }
        assert!(begun.elapsed().as_secs() < 10, "{}", events.stdout);
    }
}
