//! SAML service provider tests with `simplesamlphp`, which reads our metadata and verifies our signatures.

use authn::saml::{
    Error, ErrorKind, Expected, Incoming, Login, MetadataOptions, Outgoing, Provider,
    ServiceProvider, begin_login, begin_logout, finish_login, finish_logout, read_logout_request,
    testing::{
        service_provider,
        simplesamlphp::{Settings, Simplesamlphp},
    },
};
use domain::{
    clock::{Clock as _, SystemClock, UnixMillis},
    rng::SystemRng,
};

struct World {
    idp: Simplesamlphp,
    service: ServiceProvider,
    provider: Provider,
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut service = service_provider("cluster.example").unwrap();
        service.entity_id.push_str("/saml");
        let idp = Simplesamlphp::start(&service.metadata(), settings).unwrap();
        let metadata = idp.metadata().unwrap();
        let provider =
            Provider::from_metadata(&metadata, MetadataOptions::default(), now()).unwrap();
        Self {
            idp,
            service,
            provider,
        }
    }

    fn log_in(&self, force_authn: bool) -> Login {
        self.try_log_in(force_authn).unwrap()
    }

    fn try_log_in(&self, force_authn: bool) -> Result<Login, Error> {
        let requested_at = now();
        let request = begin_login(
            &self.service,
            &self.provider,
            Some("state-1"),
            force_authn,
            &SystemRng,
            requested_at,
        )?;
        let Outgoing::Redirect { url } = &request.message else {
            panic!("not by redirection")
        };
        let fields = self.idp.log_in(self.idp.get(url).unwrap()).unwrap();
        assert_eq!(fields[1], ("RelayState".to_owned(), "state-1".to_owned()));
        let expected = Expected {
            request_id: &request.id,
            requested_at,
            force_authn,
        };
        let finish =
            |expected| finish_login(&self.service, &self.provider, &fields[0].1, expected, now());
        let other = Expected {
            request_id: "_other",
            ..expected
        };
        finish(other).unwrap_err();
        finish(expected)
    }
}

fn now() -> UnixMillis {
    SystemClock.now()
}

#[test]
fn a_login_works_for_every_signature_setting() {
    for signs_response in [false, true] {
        let world = World::new(Settings {
            encrypts: false,
            signs_response,
        });
        let login = world.log_in(false);
        assert_eq!(login.attribute("mail").unwrap(), "john@example.com");
        assert_eq!(login.attribute("uid").unwrap(), "john");
        let mut named = login
            .attributes
            .iter()
            .filter(|attribute| attribute.name == "groups");
        assert_eq!(named.next().unwrap().values, ["ops", "dev & test"]);
        assert!(login.name_id.is_some() && login.session_index.is_some());
        assert!(login.authn_context.is_some());
        // The provider keeps a session, and authenticates again only if forced.
        let again = world.log_in(false);
        // The first response reports its own time, later ones the time of the remembered authentication.
        assert!(again.authenticated_at <= login.authenticated_at);
        let once_more = world.log_in(false);
        assert_eq!(once_more.authenticated_at, again.authenticated_at);
        assert_ne!(again.assertion_id, login.assertion_id);
        world.log_in(true);
    }
}

/// The provider supports only CBC encryption.
#[test]
fn w06_cbc_encryption_of_a_real_provider_is_refused() {
    let world = World::new(Settings {
        encrypts: true,
        signs_response: false,
    });
    let error = world.try_log_in(false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encryption);
    assert!(error.reason().contains("AES-GCM"), "{error:?}");
}

#[test]
fn w55_a_request_that_we_have_not_signed_is_refused_there() {
    let world = World::new(Settings {
        encrypts: false,
        signs_response: false,
    });
    let other = service_provider("cluster.example").unwrap();
    let impostor = ServiceProvider {
        signing: other.signing,
        ..world.service.clone()
    };
    let request = begin_login(&impostor, &world.provider, None, false, &SystemRng, now()).unwrap();
    let Outgoing::Redirect { url } = &request.message else {
        panic!("not by redirection")
    };
    let page = world.idp.get(url).unwrap();
    assert!(!page.body.contains("name=\"password\""), "{}", page.body);
}

#[test]
fn logout_can_be_started_by_both_sides() {
    let world = World::new(Settings {
        encrypts: false,
        signs_response: true,
    });
    let login = world.log_in(false);
    let name = login.name_id.as_ref().unwrap();
    let about = (name, login.session_index.as_deref());
    let sent = begin_logout(
        &world.service,
        &world.provider,
        about,
        Some("state-2"),
        &SystemRng,
        now(),
    )
    .unwrap();
    let sent = sent.unwrap();
    let Outgoing::Redirect { url } = &sent.message else {
        panic!("not by redirection")
    };
    let back = world
        .idp
        .follow_to(url, "https://cluster.example/")
        .unwrap();
    let (place, query) = back.split_once('?').unwrap();
    assert_eq!(place, "https://cluster.example/saml/logout");
    finish_logout(
        &world.service,
        &world.provider,
        Incoming::Redirect { query },
        &sent.id,
        now(),
    )
    .unwrap();

    // The provider forgot the session, and then starts a logout itself.
    let login = world.log_in(false);
    let begin = world.idp.metadata_url().replace(
        "metadata.php",
        "initSLO.php?RelayState=https://cluster.example/",
    );
    let back = world
        .idp
        .follow_to(&begin, "https://cluster.example/")
        .unwrap();
    let (place, query) = back.split_once('?').unwrap();
    assert_eq!(place, "https://cluster.example/saml/logout");
    let request = read_logout_request(
        &world.service,
        &world.provider,
        Incoming::Redirect { query },
        now(),
    )
    .unwrap();
    assert_eq!(Some(request.name_id), login.name_id);
    assert_eq!(
        request.session_indexes.first(),
        login.session_index.as_ref()
    );
}
