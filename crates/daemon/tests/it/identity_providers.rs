//! Logins of workloads and people at a real `OpenID` Connect provider, node's `oidc-provider`, over TLS.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::{
    cluster::{Cluster, Person},
    program::{Outcome, run, target},
};

mod chromium;

/// A provider that is ended on drop.
struct Provider {
    process: Child,
    issuer: String,
}

impl Provider {
    /// Starts the provider. `authority` is an additional authority that it trusts for back-channel logout.
    fn start(directory: &Path, redirect: &str, authority: &Path) -> Self {
        let modules = target().join("test-tools/node");
        assert!(
            modules.join("node_modules/oidc-provider").exists(),
            "oidc-provider is not there: run scripts/install-test-tools"
        );
        let mut process = Command::new("node")
            .args(["--input-type=module", "--eval"])
            .arg(include_str!("../identity/oidc-provider.mjs"))
            .arg(directory.join("key.pem"))
            .arg(directory.join("cert.pem"))
            .arg(redirect)
            .env("NODE_EXTRA_CA_CERTS", authority)
            .current_dir(modules)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the provider does not start").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            issuer: format!("https://localhost:{port}"),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Cluster that trusts the provider.
struct Scene {
    cluster: Cluster,
    root: Person,
    provider: Provider,
    directory: TempDir,
}

impl Scene {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca = certificates(directory.path());
        let ca = ca.to_str().unwrap();
        let cluster = Cluster::start_with(&reaching(ca));
        Self::of(cluster, directory)
    }

    /// Creates the scene with the certificates in `directory`.
    fn of(cluster: Cluster, directory: TempDir) -> Self {
        let redirect = format!("https://{}/callback", cluster.domain());
        let provider = Provider::start(directory.path(), &redirect, &cluster.ca());
        let root = cluster.administrator();
        Self {
            cluster,
            root,
            provider,
            directory,
        }
    }

    fn apply(&self, yaml: &str) {
        self.root
            .sh_with_input("octeliumctl apply -", yaml)
            .success();
    }

    /// Returns a token of the provider for a program, with this audience.
    fn token(&self, audience: &str) -> String {
        let answer = run(Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--cacert"])
            .arg(self.directory.path().join("ca.pem"))
            .args(["--user", "build-job:secret-of-the-job-at-the-provider"])
            .args([
                "--data",
                "grant_type=client_credentials",
                "--data-urlencode",
            ])
            .arg(format!("resource={audience}"))
            .arg(format!("{}/token", self.provider.issuer)))
        .success();
        let answer: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
        let token = answer["access_token"].as_str().unwrap();
        self.cluster.secret(token)
    }

    /// Waits for a reason among the audit events. Refusals are written in batches.
    fn audits(&self, reason: &str) {
        let begun = Instant::now();
        loop {
            let events = self.root.sh("octeliumctl get audit -o json").success();
            if events.stdout.contains(reason) {
                return;
            }
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(10),
                "no {reason} in {events:#?}"
            );
        }
    }

    fn audience(&self) -> String {
        format!("https://{}", self.cluster.domain())
    }

    /// Sends requests like a browser that stores cookies and follows redirects.
    fn browse(&self, jar: &str, arguments: &[&str]) -> Outcome {
        let both = self.directory.path().join("both.pem");
        let ours = std::fs::read_to_string(self.cluster.ca()).unwrap();
        let theirs = std::fs::read_to_string(self.directory.path().join("ca.pem")).unwrap();
        std::fs::write(&both, format!("{ours}\n{theirs}")).unwrap();
        let jar = self.directory.path().join(jar);
        run(Command::new("curl")
            .args(["--silent", "--show-error", "--location", "--cacert"])
            .arg(both)
            .arg("--cookie-jar")
            .arg(&jar)
            .arg("--cookie")
            .arg(&jar)
            .args(["--write-out", "\n%{http_code} %{url_effective}"])
            .args(arguments))
        .success()
    }

    /// Logs in at the provider and returns the final page.
    fn log_in(&self, name: &str) -> Outcome {
        self.log_in_from(name, "/login")
    }

    fn log_in_from(&self, name: &str, place: &str) -> Outcome {
        let page = self.log_in_there(name, place);
        if !page.stdout.contains("name=\"prompt\"") {
            // The consent was given before.
            return page;
        }
        self.agree(name, &page, &[])
    }

    /// Redirects to the provider and logs in there.
    fn log_in_there(&self, name: &str, place: &str) -> Outcome {
        let ours = self.audience();
        let page = self.browse(name, &[&format!("{ours}{place}")]);
        let mut choice = format!(
            "provider={}",
            field(&page.stdout, "name=\"provider\" value=\"")
        );
        // The forms of a signed-in person contain a token.
        if page.stdout.contains("name=\"token\"") {
            choice += "&token=";
            choice += &field(&page.stdout, "name=\"token\" value=\"");
        }
        let origin = format!("Origin: {ours}");
        let begin = format!("{ours}/begin");
        let page = self.browse(name, &["--header", &origin, "--data", &choice, &begin]);
        let action = field(&page.stdout, "action=\"");
        let login = format!("login={name}");
        let form = [
            "--data",
            "prompt=login",
            "--data",
            &login,
            "--data",
            "password=x",
        ];
        self.browse(name, &[&form[..], &[&action]].concat())
    }

    /// Consents at the provider and follows the redirect back.
    fn agree(&self, name: &str, page: &Outcome, more: &[&str]) -> Outcome {
        let action = field(&page.stdout, "action=\"");
        self.browse(
            name,
            &[more, &["--data", "prompt=consent", &action]].concat(),
        )
    }
}

/// Returns the settings with which a Cluster can reach the provider.
fn reaching(ca: &str) -> [&str; 4] {
    ["--outbound-allow", "127.0.0.0/8", "--outbound-ca", ca]
}

/// Returns the text between `mark` and the next quote.
#[track_caller]
fn field(page: &str, mark: &str) -> String {
    let start = page
        .find(mark)
        .unwrap_or_else(|| panic!("no {mark} in {page}"))
        + mark.len();
    let rest = &page[start..];
    rest[..rest.find('"').unwrap()].to_owned()
}

/// Creates an authority, and a certificate for `localhost` that it signs.
fn certificates(directory: &Path) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Authority of the provider");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), certificate.pem()).unwrap();
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    ca
}

const WORKLOAD: &str = "
kind: User
metadata: {name: builder}
spec:
  type: WORKLOAD
  authentication: {identities: [{identityProvider: ci, identifier: build-job}]}
";

#[test]
fn a_workload_logs_in_by_a_token_of_its_platform_once() {
    let scene = Scene::start();
    let create = "octeliumctl create idp --type oidc-identity-token --issuer-url";
    let create = format!("{create} {} ci", scene.provider.issuer);
    let outcome = scene.root.sh(&create).success();
    assert_eq!(
        outcome.stderr,
        "IdentityProvider `ci` successfully created\n"
    );
    scene.apply(WORKLOAD);
    let table = scene.root.sh("octeliumctl get idp").success();
    assert!(table.stdout.contains("OIDC_IDENTITY_TOKEN"), "{table:#?}");

    let job = scene.cluster.person();
    let token = scene.token(&scene.audience());
    let login = |token: &str, assertion: &str| {
        job.sh(&format!(
            "ID_TOKEN={token} octelium login --assertion {assertion}"
        ))
    };
    let outcome = login(&token, "jwt:env=ID_TOKEN").success();
    assert!(
        outcome.stderr.contains("authenticated as builder"),
        "{outcome:#?}"
    );
    let status = job.sh("octelium status -o json").success();
    assert!(status.stdout.contains("builder"), "{status:#?}");

    // The same token again, one for another audience, and one for an unknown provider.
    let outcome = login(&token, "jwt:env=ID_TOKEN");
    assert_eq!(outcome.code, 4, "{outcome:#?}");
    let other = scene.token("https://other.example");
    assert_eq!(login(&other, "jwt:env=ID_TOKEN").code, 4);
    let fresh = scene.token(&scene.audience());
    assert_eq!(login(&fresh, "nobody:jwt:env=ID_TOKEN").code, 4);
    login(&fresh, "ci:jwt:env=ID_TOKEN").success();
    for reason in [
        "assertion_replayed",
        "assertion_audience",
        "provider_unknown",
    ] {
        scene.audits(reason);
    }

    // Without a login command, the variable is read if the client has no Session.
    let fresh = scene.token(&scene.audience());
    let other_job = scene.cluster.person();
    let command = format!(
        "ID_TOKEN={fresh} OCTELIUM_AUTH_ASSERTION=jwt:env=ID_TOKEN octelium status -o json"
    );
    other_job.sh(&command).success();

    let fresh = scene.token(&scene.audience());
    let url = format!("{}/oauth2/token", scene.audience());
    let answer = scene.browse(
        "client",
        &[
            "--data",
            "grant_type=client_credentials",
            "--data",
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "--data",
            &format!("client_assertion={fresh}"),
            &url,
        ],
    );
    assert!(
        answer.stdout.contains("\"token_type\":\"Bearer\""),
        "{answer:#?}"
    );
}

const PEOPLE: &str = "
kind: Secret
metadata: {name: idp}
spec: {}
data: {value: secret-of-the-cluster-at-the-provider}
---
kind: Group
metadata: {name: dev}
spec: {}
---
kind: IdentityProvider
metadata: {name: company}
spec:
  displayName: The company
  oidc:
    issuerURL: ISSUER
    clientID: octelium
    clientSecret: {fromSecret: idp}
    useUserInfoEndpoint: true
  userCreation: {condition: {match: 'ctx.email.endsWith(\"@example.com\")'}}
  groupMappings: [{eval: ctx.assertionMap.groups, groups: [dev]}]
---
kind: User
metadata: {name: alice}
spec:
  type: HUMAN
  authentication: {identities: [{identityProvider: company, identifier: alice}]}
";

#[test]
fn people_log_in_by_the_provider_of_their_company() {
    let scene = Scene::start();
    let yaml = PEOPLE.replace("ISSUER", &scene.provider.issuer);
    let apply = "octeliumctl apply --include-secret -";
    scene.root.sh_with_input(apply, &yaml).success();

    let shown = scene.log_in("alice");
    let end = format!("\n200 {}/", scene.audience());
    assert!(shown.stdout.ends_with(&end), "{shown:#?}");
    let alice = scene
        .root
        .sh("octeliumctl get user alice -o json")
        .success();
    assert!(alice.stdout.contains("\"dev\""), "{alice:#?}");
    let sessions = scene
        .root
        .sh("octeliumctl get session --user alice")
        .success();
    assert!(sessions.stdout.contains("Browser"), "{sessions:#?}");

    // A second login: the provider has a session but prompts anyway, and reports the time.
    let shown = scene.log_in_from("alice", "/login?again=proof");
    assert!(shown.stdout.ends_with(&end), "{shown:#?}");

    // A new person becomes a User; a person without a verified address does not.
    let shown = scene.log_in("bob");
    assert!(shown.stdout.ends_with(&end), "{shown:#?}");
    let users = scene.root.sh("octeliumctl get user").success();
    assert!(users.stdout.contains("bob-"), "{users:#?}");
    let shown = scene.log_in("mallory");
    assert!(
        shown.stdout.contains("you are not a User of this Cluster"),
        "{shown:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_continues_at_another_replica_if_the_first_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let ca = certificates(directory.path());
    let ca = ca.to_str().unwrap();
    let database = store::testing::postgres_database().await;
    let first = Cluster::start_on(database.expose(), &reaching(ca));
    let domain = first.domain();
    let arguments = [&reaching(ca)[..], &["--domain", &domain]].concat();
    let second = Cluster::start_on(database.expose(), &arguments);
    let mut scene = Scene::of(first, directory);
    let yaml = PEOPLE.replace("ISSUER", &scene.provider.issuer);
    let apply = "octeliumctl apply --include-secret -";
    scene.root.sh_with_input(apply, &yaml).success();

    let page = scene.log_in_there("alice", "/login");
    scene.cluster.kill();
    // As a load balancer does.
    let port = domain.split_once(':').unwrap().1;
    let way = format!("localhost:{port}:localhost:{}", second.address.port());
    let shown = scene.agree("alice", &page, &["--connect-to", &way]);
    let end = format!("\n200 {}/", scene.audience());
    assert!(shown.stdout.ends_with(&end), "{shown:#?}");
    assert!(shown.stdout.contains("alice"), "{shown:#?}");
}
