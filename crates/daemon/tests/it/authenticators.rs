//! Authenticators with the command-line clients: TOTP codes, a TPM, and administration.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    cluster::{Cluster, Person},
    program::{Outcome, octeliumd, run},
    qr,
};

/// The rules of the public page about Authenticators, exactly as printed there.
pub(crate) const RULES: [&str; 4] = [
    r#"
kind: ClusterConfig
metadata:
  name: cluster-config
spec:
  authenticator:
    authenticationEnforcementRules:
      - condition:
          match: ctx.user.spec.email.endsWith("@example.com")
        effect: ENFORCE
      - condition:
          match: '"friends" in ctx.user.spec.groups'
        effect: IGNORE
      - condition:
          match: ctx.session.status.isBrowser
        effect: ENFORCE
      - condition:
          match: ctx.identityProvider.status.type in ["SAML", "OIDC"]
        effect: RECOMMEND
"#,
    r#"
kind: ClusterConfig
metadata:
  name: cluster-config
spec:
  authenticator:
    registrationEnforcementRules:
      - condition:
          match: ctx.user.spec.email.endsWith("@example.com")
        effect: ENFORCE
      - condition:
          match: size(ctx.authenticatorList.items) == 0
        effect: ENFORCE
      - condition:
          match: '"friends" in ctx.user.spec.groups'
        effect: IGNORE
      - condition:
          match: ctx.identityProvider.status.type in ["SAML", "OIDC"]
        effect: RECOMMEND
"#,
    r"
kind: ClusterConfig
metadata:
  name: cluster-config
spec:
  authenticator:
    enablePasskeyLogin: true
",
    r#"
kind: Policy
metadata:
  name: allowed-devices
spec:
  rules:
    - effect: ALLOW
      condition:
        all:
          of:
            - match: ctx.session.status.authentication.info.type == "AUTHENTICATOR"
            - match: ctx.session.status.authentication.info.authenticator.isAttestationVerified
            - match: ctx.session.status.authentication.info.authenticator.isHardware
            - match: ctx.session.status.authentication.info.authenticator.userVerified
            - match: ctx.session.status.authentication.info.authenticator.userPresent
            - match: ctx.session.status.authentication.info.authenticator.aaguid == "cb69481e-8ff7-4039-93ec-0a2729a154a8"
"#,
];

/// Post-authentication rules that refuse TOTP codes.
const POST_AUTHENTICATION: &str = r#"
kind: ClusterConfig
metadata:
  name: cluster-config
spec:
  authenticator:
    postAuthenticationRules:
      - condition:
          match: ctx.authenticator.status.type == "TOTP"
        effect: DENY
      - condition:
          all:
            of:
              - match: ctx.user.spec.groups.hasAny(["dev", "ops"])
              - match: ctx.session.status.isBrowser
              - not: ctx.authenticator.status.info.fido.isAttestationVerified
        effect: DENY
      - condition:
          all:
            of:
              - match: ctx.session.status.isBrowser
              - not: ctx.authenticator.status.info.fido.isHardware
        effect: DENY
"#;

/// Returns a signed-in User and an administrator.
fn alice(cluster: &Cluster) -> (Person, Person) {
    let admin = cluster.administrator();
    admin
        .sh("octeliumctl create user alice --type human")
        .success();
    let made = admin
        .sh("octeliumctl create credential --user alice cred01")
        .success();
    let token = cluster.secret(&made.value("Authentication Token:"));
    let alice = cluster.person();
    alice
        .sh(&format!("octelium login --auth-token {token}"))
        .success();
    (alice, admin)
}

/// Returns the names of all Authenticators.
pub(crate) fn names(person: &Person) -> Vec<String> {
    let listed = person
        .sh("octelium auth get authenticator -o name")
        .success();
    listed.stdout.lines().map(str::to_owned).collect()
}

fn apply(admin: &Person, yaml: &str) {
    admin.sh_with_input("octeliumctl apply -", yaml).success();
}

/// Adds a TOTP app, like a program that reads the secret and answers. Returns the secret.
pub(crate) fn add_totp(cluster: &Cluster, person: &Person) -> String {
    let added = person.sh(
        r#"
        mkfifo "$HOME/in" "$HOME/out"
        octelium auth create authenticator --type totp --display-name phone <"$HOME/in" >"$HOME/out" &
        exec 3>"$HOME/in" 4<"$HOME/out"
        read -r url <&4
        secret=${url#*secret=}; secret=${secret%%&*}
        echo "$secret"
        oathtool --totp -b "$secret" >&3
        wait $!
        "#,
    );
    let added = added.success();
    assert!(
        added.stderr.contains("is now created. Registering it... ")
            && added.stderr.contains("Authenticator is now registered"),
        "{added:#?}"
    );
    let secret = added.stdout.trim().to_owned();
    assert_eq!(secret.len(), 32, "160 bits: {secret}");
    cluster.secret(&secret)
}

/// Returns the code of the next time step. The current one was used by the registration.
pub(crate) fn next_code(person: &Person, secret: &str) -> String {
    let made = person.sh(&format!("oathtool --totp -b {secret} --now '30 seconds'"));
    made.success().stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_codes_of_an_app_raise_a_session_once_each() {
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    let nothing = alice.sh("octelium auth get authn").success();
    assert!(
        nothing.stderr.contains("No Authenticators Found"),
        "{nothing:#?}"
    );
    let secret = add_totp(&cluster, &alice);
    let name = names(&alice).remove(0);
    assert!(name.starts_with("totp-"), "{name}");

    let code = next_code(&alice, &secret);
    let enter = format!("echo {code} | octelium auth authenticator {name}");
    alice.sh(&enter).success();
    let again = alice.sh(&enter);
    assert_eq!(again.code, 5, "{again:#?}");
    // The client uses the new tokens from then on.
    alice.sh("octelium status").success();
    let session = admin
        .sh("octeliumctl get session --user alice -o field=status.authentication.info.type")
        .success();
    assert_eq!(session.stdout.trim(), "AUTHENTICATOR");
    let shown = admin
        .sh(&format!("octeliumctl get authn {name} -o yaml"))
        .success();
    assert!(
        shown.stdout.contains("successfulAuthentications: 1") && !shown.stdout.contains(&secret),
        "{shown:#?}"
    );

    // A rejected Authenticator cannot be used.
    admin
        .sh(&format!("octeliumctl update authn --reject {name}"))
        .success();
    let rejected = alice.sh(&format!("echo 000000 | octelium auth authn {name}"));
    assert_eq!(rejected.code, 5, "{rejected:#?}");
    admin
        .sh(&format!("octeliumctl update authn --approve {name}"))
        .success();
    let renamed = format!("octelium auth update authenticator {name} --display-name tablet");
    alice.sh(&renamed).success();
    let shown = alice.sh("octelium auth get authenticator").success();
    assert!(shown.stdout.contains("tablet"), "{shown:#?}");
    alice
        .sh(&format!("octelium auth delete authenticator {name}"))
        .success();
    assert_eq!(names(&alice), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_registers_nothing_and_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let (alice, _admin) = alice(&cluster);
    let failed = alice.sh("echo 12 | octelium auth create authenticator --type totp");
    assert_eq!(failed.code, 5, "{failed:#?}");
    assert_eq!(names(&alice), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rules_are_accepted_and_work() {
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    for rules in RULES {
        apply(&admin, rules);
    }
    let secret = add_totp(&cluster, &alice);
    let name = names(&alice).remove(0);
    apply(&admin, POST_AUTHENTICATION);
    let code = next_code(&alice, &secret);
    let denied = alice.sh(&format!("echo {code} | octelium auth authn {name}"));
    assert_eq!(denied.code, 5, "{denied:#?}");
    assert!(
        denied.stderr.contains("rules of this Cluster"),
        "{denied:#?}"
    );
    // W35: a code is used up even if the login was denied.
    apply(&admin, RULES[2]);
    let used = alice.sh(&format!("echo {code} | octelium auth authn {name}"));
    assert_eq!(used.code, 5, "{used:#?}");
    let audited = admin
        .sh("octeliumctl get audit --type authenticator.used -o json")
        .success();
    assert!(
        audited.stdout.contains("post_authentication_rule")
            && audited.stdout.contains("code_wrong"),
        "{audited:#?}"
    );
}

/// Returns true if guesses are delayed. If the one-minute delay of five failures has already ended, one more failure
/// extends it. Without the record of these failures, one more has no effect.
fn is_held_up(person: &Person, name: &str) -> bool {
    (0..2).any(|_| {
        let tried = person.sh(&format!("echo 000000 | octelium auth authn {name}"));
        assert_ne!(tried.code, 0, "{tried:#?}");
        tried.stderr.contains("Too many codes were wrong")
    })
}

fn offline(data_dir: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(octeliumd());
    command.args(arguments).arg("--data-dir").arg(data_dir);
    run(&mut command).success()
}

#[tokio::test(flavor = "multi_thread")]
async fn b02_guesses_are_delayed_across_restarts_and_restores() {
    let mut cluster = Cluster::start();
    let (alice, _) = alice(&cluster);
    add_totp(&cluster, &alice);
    let name = names(&alice).remove(0);
    let directory = tempfile::tempdir().unwrap();
    let backup = |cluster: &Cluster, name: &str| {
        let file = directory.path().join(name);
        offline(&cluster.data_dir(), &["backup", file.to_str().unwrap()]);
        file
    };
    let before = backup(&cluster, "before");
    for _ in 0..5 {
        let wrong = alice.sh(&format!("echo 000000 | octelium auth authn {name}"));
        assert!(wrong.stderr.contains("code is wrong"), "{wrong:#?}");
    }
    assert!(is_held_up(&alice, &name));
    let after = backup(&cluster, "after");

    assert!(cluster.terminate().success());
    cluster = cluster.restart();
    assert!(is_held_up(&alice, &name), "after a restart");

    // Restoring an older backup does not reset the record.
    assert!(cluster.terminate().success());
    offline(&cluster.data_dir(), &["restore", before.to_str().unwrap()]);
    cluster = cluster.restart();
    assert!(
        is_held_up(&alice, &name),
        "after a restore of an older backup"
    );

    let key = fs::read(cluster.data_dir().join("master-key")).unwrap();
    let elsewhere = Cluster::prepare(|data_dir| {
        let path = data_dir.join("master-key");
        fs::write(&path, &key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let restored = offline(data_dir, &["restore", after.to_str().unwrap()]);
        assert!(
            restored
                .stdout
                .contains("Authenticators are those of the backup"),
            "{restored:#?}"
        );
    });
    offline(&elsewhere.data_dir(), &["recover"]);
    let token = elsewhere.data_dir().join("recovery-token");
    let admin = elsewhere.person();
    admin
        .sh(&format!(
            "octeliumctl login --auth-token-file '{}'",
            token.display()
        ))
        .success();
    let rotated = admin
        .sh("octeliumctl create cred --rotate cred01")
        .success();
    let rotated = elsewhere.secret(&rotated.value("Authentication Token:"));
    let alice = elsewhere.person();
    alice
        .sh(&format!("octelium login --auth-token {rotated}"))
        .success();
    assert!(is_held_up(&alice, &name), "in another place");
}

/// A software TPM with its own manufacturer certificate.
struct Emulator(PathBuf);

impl Emulator {
    fn start(directory: &Path) -> Self {
        let path = directory.join("tpm");
        fs::create_dir(&path).unwrap();
        let run = |program: &str, arguments: &[String]| {
            let output = Command::new(program)
                .args(arguments)
                .env("XDG_CONFIG_HOME", &path)
                .output();
            let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
            assert!(output.status.success(), "{program}: {output:?}");
        };
        let shown = path.display();
        let state = ["--tpm2", "--tpmstate"].map(str::to_owned);
        let mut setup = state.to_vec();
        setup.extend([shown.to_string(), "--createek".to_owned()]);
        // Otherwise it changes to the user `tss`, which cannot read this directory.
        if fs::metadata(&path).unwrap().uid() == 0 {
            setup.extend(["--runas".to_owned(), "root".to_owned()]);
        }
        run("swtpm_setup", &setup);
        let socket = [
            "socket".to_owned(),
            "--tpm2".to_owned(),
            "--daemon".to_owned(),
            "--tpmstate".to_owned(),
            format!("dir={shown}"),
            "--server".to_owned(),
            format!("type=unixio,path={shown}/tpm"),
            "--ctrl".to_owned(),
            format!("type=unixio,path={shown}/control"),
            "--flags".to_owned(),
            "startup-clear".to_owned(),
        ];
        run("swtpm", &socket);
        Self(path)
    }

    fn address(&self) -> String {
        format!("unix:{}/tpm", self.0.display())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let control = format!("{}/control", self.0.display());
        let _ = Command::new("swtpm_ioctl")
            .args(["--unix", &control, "-s"])
            .output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w39b_only_the_tpm_of_its_machine_raises_a_session() {
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    let (tpm, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (tpm, other) = (Emulator::start(tpm.path()), Emulator::start(other.path()));
    let with = |tpm: &Emulator, command: &str| {
        alice.sh(&format!(
            "OCTELIUM_TPM={} octelium auth {command}",
            tpm.address()
        ))
    };
    with(&tpm, "create authenticator --type tpm").success();
    let name = names(&alice).remove(0);
    let shown = admin
        .sh(&format!("octeliumctl get authn {name} -o json"))
        .success();
    assert!(
        shown.stdout.contains("UNCERTIFIED") && shown.stdout.contains("\"isQuoted\": true"),
        "{shown:#?}"
    );
    let foreign = with(&other, &format!("authenticator {name}"));
    assert_ne!(foreign.code, 0, "{foreign:#?}");
    // If there is only one, it need not be named.
    with(&tpm, "authenticator").success();
    alice.sh("octelium status").success();
    let taken = with(&tpm, "create authenticator --type tpm");
    assert_ne!(taken.code, 0, "a TPM is registered once: {taken:#?}");
    assert_eq!(names(&alice), [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_on_a_machine_with_a_registered_tpm_is_raised_by_it() {
    if !Path::new("/etc/machine-id").exists() && !Path::new("/var/lib/dbus/machine-id").exists() {
        // `a_machine_is_registered_once` tests the messages of this case.
        return;
    }
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    let (tpm, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (tpm, other) = (Emulator::start(tpm.path()), Emulator::start(other.path()));
    let token = admin
        .sh("octeliumctl create cred --rotate cred01")
        .success();
    let token = cluster.secret(&token.value("Authentication Token:"));
    let login = |tpm: &Emulator| {
        let login = format!(
            "OCTELIUM_REGISTER_DEVICE=true OCTELIUM_TPM={} octelium login --auth-token {token}",
            tpm.address()
        );
        alice.sh(&login).success().stderr
    };
    let output = login(&tpm);
    assert!(
        output.contains("Device successfully registered"),
        "{output}"
    );
    let create = format!(
        "OCTELIUM_TPM={} octelium auth create authenticator --type tpm",
        tpm.address()
    );
    alice.sh(&create).success();
    let name = names(&alice).remove(0);

    let pinned_to = || {
        let sessions = admin
            .sh("octeliumctl get session --user alice -o field=status.requiredAuthenticatorRef.name")
            .success();
        sessions.stdout.trim().to_owned()
    };
    assert_eq!(pinned_to(), "");
    let output = login(&tpm);
    assert!(
        output.contains("Device already registered") && !output.contains("warning"),
        "{output}"
    );
    assert_eq!(pinned_to(), name);
    alice.sh("octelium status").success();

    // With the token but without the TPM, the Session is not raised.
    let output = login(&other);
    assert!(
        output.contains("the step-up with the TPM failed"),
        "{output}"
    );
    assert_eq!(pinned_to(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_registered_once() {
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    let registered = alice.sh("octelium auth device");
    if !Path::new("/etc/machine-id").exists() && !Path::new("/var/lib/dbus/machine-id").exists() {
        assert!(registered.stderr.contains("machine-id"), "{registered:#?}");
        return;
    }
    let registered = registered.success();
    assert!(
        registered.stderr.contains("Device successfully registered"),
        "{registered:#?}"
    );
    let again = alice.sh("octelium auth device").success();
    assert!(
        again.stderr.contains("Device already registered"),
        "{again:#?}"
    );
    let devices = admin.sh("octeliumctl get device -o name").success();
    assert_eq!(devices.stdout.lines().count(), 1, "{devices:#?}");

    // Registration at a login happens automatically on the machine of a person.
    let token = admin
        .sh("octeliumctl create cred --rotate cred01")
        .success();
    let token = cluster.secret(&token.value("Authentication Token:"));
    let login = |whether: &str| {
        let login = format!("{whether} octelium login --auth-token {token}");
        cluster.person().sh(&login).success().stderr
    };
    let known = login("OCTELIUM_REGISTER_DEVICE=true");
    assert!(known.contains("Device already registered"), "{known}");
    let is_workload_host = login("CI=true OCTELIUM_REGISTER_DEVICE=");
    assert!(!is_workload_host.contains("Device"), "{is_workload_host}");
    let device = devices.stdout.trim().trim_start_matches("device/");
    admin
        .sh(&format!("octeliumctl delete device {device}"))
        .success();
    let new = login("OCTELIUM_REGISTER_DEVICE=true");
    assert!(new.contains("Device successfully registered"), "{new}");
    let sessions = admin
        .sh("octeliumctl get session --user alice -o field=status.deviceRef.name")
        .success();
    assert!(!sessions.stdout.trim().is_empty(), "{sessions:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w39f_an_administrator_resets_the_authenticators_of_a_user_who_lost_them() {
    let cluster = Cluster::start();
    let (alice, admin) = alice(&cluster);
    let lost = add_totp(&cluster, &alice);
    let name = names(&alice).remove(0);
    for _ in 0..5 {
        alice.sh(&format!("echo 000000 | octelium auth authn {name}"));
    }
    assert!(is_held_up(&alice, &name));

    let asked = admin.sh("octeliumctl delete authn --user alice --all");
    assert_eq!(asked.code, 2, "{asked:#?}");
    assert_eq!(names(&alice), std::slice::from_ref(&name));
    let reset = "octeliumctl delete authn --user alice --all --yes";
    let done = admin.sh(reset).success();
    assert!(
        done.stderr
            .contains("1 Authenticator of User `alice` successfully deleted"),
        "{done:#?}"
    );
    assert_eq!(names(&alice), Vec::<String>::new());
    let again = admin.sh(reset).success();
    assert!(again.stderr.contains("0 Authenticators"), "{again:#?}");
    assert_eq!(
        admin
            .sh("octeliumctl delete authn --user bob --all -y")
            .code,
        6
    );
    let audited = admin
        .sh("octeliumctl get audit --type user.authenticators_reset -o json")
        .success();
    let audited: serde_json::Value = serde_json::from_str(&audited.stdout).unwrap();
    assert_eq!(audited["items"].as_array().unwrap().len(), 1, "{audited:#}");
    assert_eq!(audited["items"][0]["resourceRef"]["name"], "alice");
    assert_eq!(audited["items"][0]["attrs"]["authenticators"], "1");

    // Another phone with another secret. Earlier wrong codes no longer count.
    let home = alice.home();
    fs::remove_file(home.join("in")).unwrap();
    fs::remove_file(home.join("out")).unwrap();
    let secret = add_totp(&cluster, &alice);
    assert_ne!(secret, lost);
    let name = names(&alice).remove(0);
    let old = next_code(&alice, &lost);
    let refused = alice.sh(&format!("echo {old} | octelium auth authn {name}"));
    assert!(refused.stderr.contains("code is wrong"), "{refused:#?}");
    let code = next_code(&alice, &secret);
    alice
        .sh(&format!("echo {code} | octelium auth authn {name}"))
        .success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_an_app_can_be_scanned_at_a_terminal() {
    let cluster = Cluster::start();
    let (alice, _admin) = alice(&cluster);
    let mut adding = alice.at_terminal("octelium auth create authenticator --type totp");
    let mut screen = BufReader::new(adding.stdout.take().unwrap());
    let mut shown = Vec::new();
    let typed = loop {
        let mut line = String::new();
        assert_ne!(screen.read_line(&mut line).unwrap(), 0, "{shown:#?}");
        let line = line.trim_end().to_owned();
        if let Some((_, secret)) = line.split_once("or enter this secret in the app: ") {
            break secret.to_owned();
        }
        shown.push(line);
    };
    let picture: Vec<&str> = shown
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains('\u{2588}'))
        .collect();
    let url = qr::on_terminal(&picture);
    assert!(url.starts_with("otpauth://totp/"), "{url}");
    let secret = url.split_once("secret=").unwrap().1;
    let secret = cluster.secret(secret.split('&').next().unwrap());
    assert_eq!(secret, typed);

    let code = alice.sh(&format!("oathtool --totp -b {secret}")).success();
    let mut keyboard = adding.stdin.take().unwrap();
    writeln!(keyboard, "{}", code.stdout.trim()).unwrap();
    let mut rest = String::new();
    screen.read_to_string(&mut rest).unwrap();
    assert!(adding.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("Authenticator is now registered"), "{rest}");
    assert_eq!(names(&alice).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_that_there_are_no_metadata() {
    let cluster = Cluster::start();
    let admin = cluster.administrator();
    let shown = admin.sh("octeliumctl get mds").success();
    assert!(shown.stdout.contains("NONE"), "{shown:#?}");
    let shown = admin.sh("octeliumctl get mds -o json").success();
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["state"], "NONE");
}
