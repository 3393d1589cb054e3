//! Tests the client with swtpm, whose endorsement keys a test manufacturer certifies, and the server's verification.
#![cfg(unix)]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
};

use api::auth_v1::{
    TpmQuoteRequest,
    challenge_response::Tpm as Answer,
    register_authenticator_begin_request::pre_challenge::{Tpm as PreChallenge, tpm::EkType},
};
use authn::tpm::{
    ActivationSecret, AttestationParameters, Authorities, EncryptedCredential, Presented, Quote,
    QuoteRequest, Quoted, Refusal, Registered, Registration, Trust, challenge,
};
use domain::{clock::UnixMillis, rng::SystemRng};

use super::{
    Error, Tpm,
    attestation_key::{ATTESTATION, AttestationKey, storage_key},
    commands::OWNER,
    endorsement_key::{EndorsementKey, Template},
};

/// 2037-01-01. swtpm certificates are valid from the day of the test run.
const NOW: UnixMillis = UnixMillis(2_114_380_800_000);

/// A TPM manufacturer that certifies endorsement keys.
struct Maker {
    directory: tempfile::TempDir,
}

/// A running TPM of the manufacturer.
struct Emulator {
    directory: PathBuf,
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; see scripts/install-test-tools"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program}: {text}");
}

impl Maker {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let authority = format!(
            "statedir = {path}\nsigningkey = {path}/key.pem\nissuercert = {path}/issuer.pem\n\
             certserial = {path}/serial\n"
        );
        let setup = format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = \
             {path}/authority\ncreate_certs_tool_options = {path}/options\nactive_pcr_banks = \
             sha256\n"
        );
        for (name, contents) in [("authority", &authority), ("setup", &setup)] {
            fs::write(directory.path().join(name), contents).unwrap();
        }
        fs::write(directory.path().join("options"), "").unwrap();
        Self { directory }
    }

    fn make(&self, name: &str) -> Emulator {
        self.make_with(name, &["--create-ek-cert"])
    }

    fn make_with(&self, name: &str, options: &[&str]) -> Emulator {
        let directory = self.directory.path().join(name);
        fs::create_dir(&directory).unwrap();
        let state = directory.display().to_string();
        let configuration = self.directory.path().join("setup").display().to_string();
        let mut arguments = vec!["--tpm2", "--tpmstate", &state, "--config", &configuration];
        arguments.extend_from_slice(options);
        // Otherwise swtpm changes to the user `tss`, who cannot read this directory.
        if fs::metadata(&directory).unwrap().uid() == 0 {
            arguments.extend_from_slice(&["--runas", "root"]);
        }
        run("swtpm_setup", &arguments);
        Emulator::start(directory)
    }

    fn authorities(&self) -> Authorities {
        let issuer = fs::read_to_string(self.directory.path().join("issuer.pem")).unwrap();
        Authorities::from_pem(&[issuer], true).unwrap()
    }
}

impl Emulator {
    fn start(directory: PathBuf) -> Self {
        let path = directory.display();
        // swtpm moves to the background when it listens.
        run(
            "swtpm",
            &[
                "socket",
                "--tpm2",
                "--daemon",
                "--tpmstate",
                &format!("dir={path}"),
                "--server",
                &format!("type=unixio,path={path}/tpm"),
                "--ctrl",
                &format!("type=unixio,path={path}/control"),
                "--flags",
                "startup-clear",
            ],
        );
        Self { directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("tpm")
    }

    fn open(&self) -> Tpm {
        Tpm::open(Some(&format!("unix:{}", self.socket().display()))).unwrap()
    }

    /// Sends `TPM2_Clear` with the lockout authorization.
    fn clear(&self) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let command = [
            0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x26, 0x40, 0, 0, 0x0a, 0, 0, 0, 9, 0x40, 0, 0, 9,
            0, 0, 0, 0, 0,
        ];
        stream.write_all(&command).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header[6..], [0; 4]);
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // `CMD_SHUTDOWN`
        if let Ok(mut control) = UnixStream::connect(self.directory.join("control")) {
            let _ = control.write_all(&[0, 0, 0, 3]);
            let _ = control.read(&mut [0; 4]);
        }
    }
}

fn verify(begin: &PreChallenge, authorities: &Authorities) -> Result<Registered, Refusal> {
    let parameters = begin.attestation_parameters.as_ref().unwrap();
    Registration {
        ak_bytes: &begin.ak_bytes,
        attestation: AttestationParameters {
            public: &parameters.public,
            create_data: &parameters.create_data,
            create_attestation: &parameters.create_attestation,
            create_signature: &parameters.create_signature,
        },
        endorsement: match begin.ek_type.as_ref().unwrap() {
            EkType::EkCertificateDer(der) => Presented::Certificate(der),
            EkType::EkPublicKey(key) => Presented::PublicKey(key),
        },
    }
    .verify(authorities, NOW)
}

fn on_the_wire(request: &QuoteRequest) -> TpmQuoteRequest {
    TpmQuoteRequest {
        nonce: request.nonce.clone(),
        hash_algorithm: request.hash_algorithm.into(),
        pcrs: request.pcrs.iter().map(|pcr| (*pcr).into()).collect(),
    }
}

fn answer(
    tpm: &mut Tpm,
    begin: &PreChallenge,
    credential: &EncryptedCredential,
    quote: Option<&QuoteRequest>,
) -> super::Result<Answer> {
    let quote = quote.map(on_the_wire);
    tpm.answer(
        &begin.ak_bytes,
        &credential.credential,
        &credential.secret,
        quote.as_ref(),
    )
}

fn quoted(
    registered: &Registered,
    asked: &QuoteRequest,
    answer: &Answer,
) -> Result<Quoted, Refusal> {
    let quote = answer.quote.as_ref().unwrap();
    let quote = Quote {
        attestation: &quote.attestation,
        signature: &quote.signature,
    };
    asked.verify(&registered.attestation_key, &quote)
}

fn begin(registered: &Registered) -> (EncryptedCredential, ActivationSecret) {
    registered.challenge(&SystemRng).unwrap()
}

#[test]
fn a_tpm_registers_and_authenticates_again_and_again() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    let registration = tpm.register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    let key = &registered.endorsement_key;
    assert_eq!(key.trust, Trust::Certified);
    let certificate = key.certificate.as_ref().unwrap();
    assert_eq!(certificate.manufacturer, "id:00001014");
    assert_eq!(certificate.model, "swtpm");
    assert_eq!(certificate.issuer, "CN=swtpm-localca");
    // More rounds than a TPM has slots for keys, and also on new connections.
    for round in 0..5 {
        let (credential, secret) = begin(&registered);
        let request = QuoteRequest::new(&SystemRng);
        let answer = if round % 2 == 0 {
            answer(&mut tpm, &registration, &credential, Some(&request)).unwrap()
        } else {
            drop(tpm);
            tpm = emulator.open();
            answer(&mut tpm, &registration, &credential, Some(&request)).unwrap()
        };
        assert_eq!(secret.check(&answer.response), Ok(()));
        let quoted = quoted(&registered, &request, &answer).unwrap();
        assert!(quoted.clock.is_safe);
        assert_eq!(quoted.pcr_digest.len(), 32);
    }
    // Another attestation key in the same TPM.
    let second = verify(&tpm.register().unwrap(), &maker.authorities()).unwrap();
    assert_ne!(
        second.attestation_key.name(),
        registered.attestation_key.name()
    );
    assert_eq!(second.endorsement_key, registered.endorsement_key);
}

#[test]
fn no_quote_is_sent_unless_requested() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    let registration = tpm.register().unwrap();
    let registered = verify(&registration, &Authorities::default()).unwrap();
    assert_eq!(registered.endorsement_key.trust, Trust::Unverified);
    let (credential, secret) = begin(&registered);
    let answer = answer(&mut tpm, &registration, &credential, None).unwrap();
    assert_eq!(secret.check(&answer.response), Ok(()));
    assert_eq!(answer.quote, None);
}

#[test]
fn b17_a_tpm_of_another_maker_or_of_none_is_refused() {
    let (maker, other) = (Maker::new(), Maker::new());
    let _authority = maker.make("one");
    let emulator = other.make("another");
    let registration = emulator.open().register().unwrap();
    let result = verify(&registration, &maker.authorities());
    assert!(matches!(result, Err(Refusal::Chain(_))), "{result:?}");

    let bare = other.make_with("bare", &[]);
    let registration = bare.open().register().unwrap();
    let result = verify(&registration, &other.authorities());
    assert_eq!(result, Err(Refusal::Uncertified));
    // If uncertified TPMs are allowed, the TPM is identified by its key, which it creates again each time.
    let registered = verify(&registration, &Authorities::default()).unwrap();
    assert_eq!(registered.endorsement_key.trust, Trust::Uncertified);
    let (credential, secret) = begin(&registered);
    let answer = answer(&mut bare.open(), &registration, &credential, None).unwrap();
    assert_eq!(secret.check(&answer.response), Ok(()));
}

/// Registers as a modified client would: with a key that this TPM created and certified from another template.
fn registered_below(tpm: &mut Tpm, hierarchy: u32, template: &[u8]) -> Result<Registered, Refusal> {
    let mut registration = tpm.register().unwrap();
    let parent = storage_key(tpm, hierarchy).unwrap();
    let key = tpm.holding(parent, |tpm| {
        AttestationKey::create_below(tpm, parent, template)
    });
    let key = key.unwrap();
    registration.ak_bytes = key.to_bytes();
    registration.attestation_parameters = Some(key.parameters());
    verify(&registration, &Authorities::default())
}

#[test]
fn b17_keys_of_a_real_tpm_that_are_no_attestation_keys_are_refused() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    // `TPM_RH_NULL`
    let refused = registered_below(&mut tpm, 0x4000_0007, &ATTESTATION).unwrap_err();
    assert!(refused.to_string().contains("hierarchy"), "{refused}");
    let mut unrestricted = ATTESTATION;
    unrestricted[5] = 0x04;
    let refused = registered_below(&mut tpm, OWNER, &unrestricted).unwrap_err();
    assert!(refused.to_string().contains("not restricted"), "{refused}");
    assert!(registered_below(&mut tpm, OWNER, &ATTESTATION).is_ok());
}

#[test]
fn b17_another_tpm_recovers_nothing() {
    let maker = Maker::new();
    let (one, another) = (maker.make("one"), maker.make("another"));
    let registration = one.open().register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    let (credential, _) = begin(&registered);
    // Another TPM cannot load the attestation key.
    let error = answer(&mut another.open(), &registration, &credential, None).unwrap_err();
    assert!(matches!(error, Error::AnotherTpm), "{error:?}");
    // Another TPM has its own attestation key and presents the certificate of the first.
    let mut stolen = another.open().register().unwrap();
    stolen.ek_type = registration.ek_type;
    let registered = verify(&stolen, &maker.authorities()).unwrap();
    let (credential, _) = begin(&registered);
    let error = answer(&mut another.open(), &stolen, &credential, None).unwrap_err();
    assert!(matches!(error, Error::AnotherTpm), "{error:?}");
}

#[test]
fn b17_a_cleared_tpm_has_lost_its_key_and_says_so() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let registration = emulator.open().register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    emulator.clear();
    let (credential, _) = begin(&registered);
    let error = answer(&mut emulator.open(), &registration, &credential, None).unwrap_err();
    assert!(matches!(error, Error::AnotherTpm), "{error:?}");
    assert!(error.to_string().contains("cleared"));
    assert!(error.hint().unwrap().contains("again"));
    // The same TPM can register again.
    let registered_again = emulator.open().register().unwrap();
    let registered_again = verify(&registered_again, &maker.authorities()).unwrap();
    assert_eq!(registered_again.endorsement_key, registered.endorsement_key);
}

#[test]
fn b17_quotes_are_of_their_nonce_their_pcrs_and_their_key() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    let registration = tpm.register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    let asked = QuoteRequest::new(&SystemRng);
    let mut answer_to = |request: &QuoteRequest| {
        let (credential, _) = begin(&registered);
        answer(&mut tpm, &registration, &credential, Some(request)).unwrap()
    };
    let replayed = answer_to(&QuoteRequest::new(&SystemRng));
    let refused = quoted(&registered, &asked, &replayed).unwrap_err();
    assert!(refused.to_string().contains("nonce"), "{refused}");
    let other = QuoteRequest {
        pcrs: vec![16, 23],
        ..asked.clone()
    };
    let refused = quoted(&registered, &asked, &answer_to(&other)).unwrap_err();
    assert!(refused.to_string().contains("PCRs"), "{refused}");
    // A bank that this TPM does not have.
    let sha512 = QuoteRequest {
        hash_algorithm: 0x000d,
        ..asked.clone()
    };
    assert_eq!(answer_to(&sha512).quote, None);
    let genuine = answer_to(&asked);
    assert!(quoted(&registered, &asked, &genuine).is_ok());
    let other = verify(&tpm.register().unwrap(), &maker.authorities()).unwrap();
    assert_eq!(quoted(&other, &asked, &genuine), Err(Refusal::Signature));
}

#[test]
fn endorsement_keys_on_curves_release_secrets_too() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    let registration = tpm.register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    let name = registered.attestation_key.name();
    // The P-256 key is created, the P-384 key is persistent.
    for template in [Template::P256, Template::P384] {
        let key = EndorsementKey::load(&mut tpm, template).unwrap();
        tpm.release(key.handle).unwrap();
        let (credential, secret) = challenge(&key.public_key, name, &SystemRng).unwrap();
        let recovered = answer(&mut tpm, &registration, &credential, None).unwrap();
        assert_eq!(secret.check(&recovered.response), Ok(()), "{template:?}");
    }
}

#[test]
fn an_invalid_saved_key_or_challenge_is_refused() {
    let maker = Maker::new();
    let emulator = maker.make("one");
    let mut tpm = emulator.open();
    let registration = tpm.register().unwrap();
    let registered = verify(&registration, &maker.authorities()).unwrap();
    let (credential, _) = begin(&registered);
    let mut broken = registration.clone();
    broken.ak_bytes.pop();
    let error = answer(&mut tpm, &broken, &credential, None).unwrap_err();
    assert!(matches!(error, Error::Challenge(_)), "{error:?}");
    for at in [2, 20, credential.credential.len() - 1] {
        let mut changed = credential.clone();
        changed.credential[at] ^= 1;
        let error = answer(&mut tpm, &registration, &changed, None).unwrap_err();
        assert!(matches!(error, Error::AnotherTpm), "{at}: {error:?}");
    }
    let mut changed = credential.clone();
    changed.secret[9] ^= 1;
    let error = answer(&mut tpm, &registration, &changed, None).unwrap_err();
    assert!(matches!(error, Error::AnotherTpm), "{error:?}");
    changed.secret.pop();
    let error = answer(&mut tpm, &registration, &changed, None).unwrap_err();
    assert!(matches!(error, Error::Challenge(_)), "{error:?}");
    // The failures left no key or session loaded.
    assert!(answer(&mut tpm, &registration, &credential, None).is_ok());
}

#[test]
fn a_missing_tpm_is_reported() {
    let nowhere = Path::new("/nonexistent/tpm");
    for address in [
        nowhere.display().to_string(),
        format!("unix:{}", nowhere.display()),
    ] {
        let Err(error) = Tpm::open(Some(&address)) else {
            panic!("{address}");
        };
        assert!(error.to_string().contains(&address), "{error}");
        assert!(error.hint().is_some());
    }
}
