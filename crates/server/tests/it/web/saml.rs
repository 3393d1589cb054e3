//! Logins at a SAML identity provider.

use api::{
    core_v1::{Session, User, identity_provider::spec::Type},
    platform_v1::audit_event::Outcome,
    resource::Object as _,
};
use authn::saml::{
    Certificate, Ended, Incoming, MetadataOptions, NameId, Outgoing, Provider, ServiceProvider,
    answer_logout, begin_logout, read_logout_request,
    testing::{Content, Draft, IdentityProvider, Signed, Wrap, request_id, service_provider},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    clock::{Clock as _, UnixMillis},
    rng::SystemRng,
};

use super::{Browser, ORIGIN, SESSION, Shown};
use crate::replicas::{Backend, Replicas};

const DOMAIN: &str = "localhost:8443";
const BASE: &str = "https://idp.example.org";
const NAME: &str = "urn:oid:0.9.2342.19200300.100.1.1";

struct Scene {
    replicas: Replicas,
    idp: IdentityProvider,
    provider: String,
    user: User,
}

/// A modification of a draft.
type Change<'a> = &'a dyn Fn(&mut Draft);

/// An authentication request for the identity provider.
struct Request {
    id: String,
    state: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with("", |metadata| metadata).await
    }

    /// Creates a scene with additional fields in the spec and modified metadata.
    async fn with(more: &str, change: impl Fn(String) -> String) -> Self {
        let replicas = Replicas::start(Backend::Sqlite, 2).await;
        let idp = IdentityProvider::new(BASE).unwrap();
        let metadata = change(idp.metadata(BASE));
        let yaml = format!(
            "{{kind: IdentityProvider, metadata: {{name: corp}}, spec: {{displayName: Corp, {more} saml: {{metadata: \
             '{metadata}', identifierAttribute: '{NAME}'}}}}}}"
        );
        let provider: api::core_v1::IdentityProvider = replicas
            .first()
            .create(&replicas.actor, &yaml)
            .await
            .unwrap();
        let identity = "{identityProvider: corp, identifier: j42}";
        let spec = format!(
            "{{type: HUMAN, email: john@example.com, authentication: {{identities: [{identity}]}}}}"
        );
        let user = replicas.user("john", &spec).await;
        replicas.settle().await;
        Self {
            user,
            provider: provider.uid().to_owned(),
            replicas,
            idp,
        }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.replicas.context(0))
    }

    async fn begin(&self, browser: &mut Browser) -> Shown {
        browser
            .post("/begin", &[("provider", &self.provider)])
            .await
    }

    async fn request(&self, browser: &mut Browser) -> Request {
        let shown = self.begin(browser).await;
        let query = shown.location().split_once("/login?").unwrap().1.to_owned();
        let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let value = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .unwrap()
                .1
                .clone()
        };
        Request {
            id: request_id(&value("SAMLRequest")).unwrap(),
            state: value("RelayState"),
        }
    }

    fn draft(&self, request: &Request) -> Draft {
        let now = self.replicas.first().clock.now();
        let mut draft = Draft::at(now, &self.idp, DOMAIN, &request.id);
        let attribute = format!(
            "<saml:Attribute Name=\"{NAME}\"><saml:AttributeValue>j42</saml:AttributeValue></saml:Attribute>"
        );
        draft.attributes.push_str(&attribute);
        draft
    }

    async fn answer(&self, browser: &mut Browser, request: &Request, draft: &Draft) -> Shown {
        let response = authn::saml::testing::posted(&draft.write(&self.idp).unwrap());
        let fields = [
            ("SAMLResponse", response.as_str()),
            ("RelayState", &request.state),
        ];
        browser
            .post_from("/callback", &fields, &[("origin", BASE)])
            .await
    }

    async fn log_in(&self, browser: &mut Browser, session_index: &str) {
        let request = self.request(browser).await;
        let mut draft = self.draft(&request);
        draft.assertion_id = format!("_a{}", request.id);
        draft.authentication = draft.authentication.replace("_s1", session_index);
        let shown = self.answer(browser, &request, &draft).await;
        assert_eq!(shown.status, 303, "{shown:#?}");
    }

    async fn sessions(&self) -> Vec<Session> {
        self.replicas.sessions(&self.user).await
    }

    async fn reason(&self) -> String {
        let events = self.replicas.audit().await;
        let refused = events
            .into_iter()
            .find(|event| event.outcome() == Outcome::Refused);
        refused.unwrap().reason
    }
}

#[tokio::test]
async fn a_person_logs_in_and_the_session_records_the_method() {
    let scene = Scene::with(
        "aalRules: [{aal: AAL2, condition: {match: \"'ops' in ctx.assertionMap.attributes.groups && \
         ctx.assertion.contains('Assertion')\"}}],",
        |metadata| metadata,
    )
    .await;
    let mut browser = scene.browser();
    browser.get("/login").await.says("Continue with Corp");
    // Another replica, which does not know the login, receives the callback.
    let request = scene.request(&mut browser).await;
    browser.turn_to(scene.replicas.context(1));
    let shown = scene
        .answer(&mut browser, &request, &scene.draft(&request))
        .await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    assert!(browser.cookies.contains_key(SESSION));
    assert_eq!(browser.get("/profile").await.status, 200);

    let sessions = scene.sessions().await;
    let info = sessions[0]
        .status()
        .unwrap()
        .initial_authentication
        .as_ref()
        .unwrap()
        .info
        .as_ref();
    let info = info.unwrap();
    let Some(api::core_v1::session::status::authentication::info::Details::IdentityProvider(by)) =
        &info.details
    else {
        panic!("{info:?}")
    };
    assert_eq!(by.identifier, "j42");
    assert_eq!(by.email, "john@example.com");
    assert_eq!(info.aal().as_str_name(), "AAL2");
}

#[tokio::test]
async fn an_encrypted_assertion_for_the_key_in_our_metadata_is_read() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let metadata = browser.get("/saml/metadata").await;
    assert_eq!(
        metadata.headers["content-type"],
        "application/samlmetadata+xml"
    );
    let certificate = metadata.body.split("use=\"encryption\"").nth(1).unwrap();
    let certificate = certificate
        .split("X509Certificate>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let certificate = Certificate::from_der(&STANDARD.decode(certificate).unwrap()).unwrap();

    let request = scene.request(&mut browser).await;
    let draft = Draft {
        encrypted: Some((certificate, Content::Aes256Gcm, Wrap::OaepSha256)),
        ..scene.draft(&request)
    };
    // Both replicas have the same key.
    browser.turn_to(scene.replicas.context(1));
    let shown = scene.answer(&mut browser, &request, &draft).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
}

#[tokio::test]
async fn our_metadata_are_those_of_each_provider() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let own = browser.get("/saml/metadata").await.body;
    assert!(own.contains("entityID=\"https://localhost:8443\""), "{own}");
    assert!(
        own.contains("Location=\"https://localhost:8443/callback\""),
        "{own}"
    );
    assert_eq!(browser.get("/saml/metadata/corp").await.body, own);
    browser.turn_to(scene.replicas.context(1));
    assert_eq!(browser.get("/saml/metadata/corp").await.body, own);
    assert_eq!(browser.get("/saml/metadata/other").await.status, 404);
}

#[tokio::test]
async fn w06_invalid_responses_are_refused_and_the_reason_is_audited() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let cases: [(&str, Change<'_>); 5] = [
        ("saml_signature", &|draft| draft.signed = Signed::Nothing),
        ("saml_refused", &|draft| {
            draft.recipient = format!("{ORIGIN}/other");
        }),
        ("saml_refused", &|draft| {
            draft.conditions = draft
                .conditions
                .replace("https://localhost", "https://other");
        }),
        ("saml_refused", &|draft| draft.attributes = String::new()),
        ("saml_status", &|draft| {
            draft.status = "<samlp:StatusCode Value=\"urn:x\"/>".to_owned();
        }),
    ];
    for (reason, change) in cases {
        let request = scene.request(&mut browser).await;
        let mut draft = scene.draft(&request);
        change(&mut draft);
        let shown = scene.answer(&mut browser, &request, &draft).await;
        assert!(
            matches!(shown.status.as_u16(), 401 | 403),
            "{reason}: {shown:#?}"
        );
        shown.says("Back to sign-in");
        assert!(!shown.body.contains("urn:"), "{shown:#?}");
        assert_eq!(scene.reason().await, reason);
    }
    assert!(!browser.cookies.contains_key(SESSION));
    assert!(scene.sessions().await.is_empty());
}

#[tokio::test]
async fn w06_an_answer_is_taken_once_and_by_the_browser_that_asked() {
    let scene = Scene::new().await;
    let (mut browser, mut other) = (scene.browser(), scene.browser());
    let request = scene.request(&mut browser).await;
    let draft = scene.draft(&request);
    // Another browser, with or without its own pending login.
    assert_eq!(scene.answer(&mut other, &request, &draft).await.status, 400);
    let others = scene.request(&mut other).await;
    assert_eq!(scene.answer(&mut other, &others, &draft).await.status, 401);
    assert_eq!(scene.reason().await, "saml_refused");

    let mut copy = browser.clone();
    assert_eq!(
        scene.answer(&mut browser, &request, &draft).await.status,
        303
    );
    copy.turn_to(scene.replicas.context(1));
    assert_eq!(scene.answer(&mut copy, &request, &draft).await.status, 400);
    assert_eq!(scene.sessions().await.len(), 1);
}

/// The identity provider as it requests and answers logouts.
fn asking(scene: &Scene) -> (ServiceProvider, Provider) {
    let itself = ServiceProvider {
        entity_id: BASE.to_owned(),
        signing: scene.idp.key.clone(),
        single_logout_url: Some(format!("{BASE}/logout")),
        ..service_provider(DOMAIN).unwrap()
    };
    let metadata = scene.idp.metadata(BASE);
    let mut ourselves =
        Provider::from_metadata(&metadata, MetadataOptions::default(), UnixMillis(0)).unwrap();
    for endpoint in &mut ourselves.single_logout {
        endpoint.location = format!("{ORIGIN}/saml/logout");
        endpoint.response_location = None;
    }
    (itself, ourselves)
}

fn query_of(message: &Outgoing) -> String {
    let Outgoing::Redirect { url } = message else {
        panic!("{message:?}")
    };
    let (place, query) = url.split_once('?').unwrap();
    assert_eq!(place, format!("{ORIGIN}/saml/logout"));
    format!("/saml/logout?{query}")
}

fn named(value: &str) -> NameId {
    NameId {
        value: value.to_owned(),
        format: None,
        name_qualifier: None,
        sp_name_qualifier: None,
    }
}

#[tokio::test]
async fn w06_the_provider_ends_the_sessions_that_it_names_once() {
    let scene = Scene::new().await;
    let (itself, ourselves) = asking(&scene);
    let (mut browser, mut other) = (scene.browser(), scene.browser());
    scene.log_in(&mut browser, "_s1").await;
    scene.log_in(&mut other, "_s2").await;
    assert_eq!(scene.sessions().await.len(), 2);

    let now = scene.replicas.first().clock.now();
    let ask = |name: &str, index: Option<&str>| {
        let about = (&named(name), index);
        let sent = begin_logout(
            &itself,
            &ourselves,
            about,
            Some("their state"),
            &SystemRng,
            now,
        );
        query_of(&sent.unwrap().unwrap().message)
    };
    // Another person, another session, and a modified request.
    let mut carrier = scene.browser();
    carrier.turn_to(scene.replicas.context(1));
    for query in [
        ask("mary@example.com", None),
        ask("john@example.com", Some("_s9")),
    ] {
        assert_eq!(carrier.get(&query).await.status, 303);
    }
    let unsigned = ask("john@example.com", None);
    let unsigned = unsigned.split("&SigAlg").next().unwrap();
    assert_eq!(carrier.get(unsigned).await.status, 401);
    assert_eq!(scene.sessions().await.len(), 2);

    let query = ask("john@example.com", Some("_s1"));
    let answered = carrier.get(&query).await;
    assert_eq!(answered.status, 303, "{answered:#?}");
    let place = answered.location().to_owned();
    assert!(
        place.starts_with("https://idp.example.org/logged-out?SAMLResponse="),
        "{place}"
    );
    assert!(place.contains("&RelayState=their%20state&"), "{place}");
    assert_eq!(scene.sessions().await.len(), 1);
    assert_eq!(browser.get("/profile").await.status, 303);
    assert_eq!(other.get("/profile").await.status, 200);
    // The same request again does nothing, also at another replica.
    carrier.turn_to(scene.replicas.context(0));
    carrier.get(&query).await.says("No Session was ended");
    // Ends all Sessions.
    assert_eq!(
        carrier.get(&ask("john@example.com", None)).await.status,
        303
    );
    assert!(scene.sessions().await.is_empty());
}

#[tokio::test]
async fn a_provider_without_metadata_does_not_prevent_the_logout_at_another_w06() {
    let scene = Scene::new().await;
    let base = "https://broken.example";
    let metadata = IdentityProvider::new(base).unwrap().metadata(base);
    for name in ["a-broken", "z-broken"] {
        let yaml = format!(
            "{{kind: IdentityProvider, metadata: {{name: {name}}}, spec: {{displayName: Broken, saml: {{metadata: \
             '{metadata}'}}}}}}"
        );
        let replicas = &scene.replicas;
        let broken: api::core_v1::IdentityProvider = replicas
            .first()
            .create(&replicas.actor, &yaml)
            .await
            .unwrap();
        let remove_metadata = |provider: &mut api::core_v1::IdentityProvider| {
            let spec = provider.spec.as_mut().unwrap();
            let Some(Type::Saml(saml)) = &mut spec.r#type else {
                panic!("not a SAML provider")
            };
            saml.metadata_type = None;
        };
        replicas.edit(&broken, remove_metadata).await;
    }
    scene.replicas.settle().await;
    let (itself, ourselves) = asking(&scene);
    scene.log_in(&mut scene.browser(), "_s1").await;
    let now = scene.replicas.first().clock.now();
    let name = named("john@example.com");
    let about = (&name, None);
    let sent = begin_logout(&itself, &ourselves, about, None, &SystemRng, now);
    let query = query_of(&sent.unwrap().unwrap().message);
    assert_eq!(scene.browser().get(&query).await.status, 303);
    assert!(scene.sessions().await.is_empty());
}

#[tokio::test]
async fn a_logout_can_continue_at_the_provider() {
    let scene = Scene::new().await;
    let (itself, ourselves) = asking(&scene);
    let mut browser = scene.browser();
    scene.log_in(&mut browser, "_s1").await;
    let token = browser.get("/profile").await.field("token");
    let shown = browser.post("/logout", &[("token", &token)]).await;
    shown.says("Sign out of Corp too");
    assert!(scene.sessions().await.is_empty());
    let way = shown
        .body
        .split("href=\"https://idp.example.org/logout?")
        .nth(1)
        .unwrap();
    let query = way.split('"').next().unwrap().replace("&amp;", "&");
    let request = read_logout_request(
        &ServiceProvider {
            single_logout_url: Some(format!("{BASE}/logout")),
            ..itself.clone()
        },
        &as_provider(&mut browser).await,
        Incoming::Redirect { query: &query },
        scene.replicas.first().clock.now(),
    )
    .unwrap();
    assert_eq!(request.name_id.value, "john@example.com");
    assert_eq!(request.session_indexes, ["_s1"]);

    let now = scene.replicas.first().clock.now();
    let answer = |ended| {
        query_of(
            &answer_logout(&itself, &ourselves, &request, ended, None, &SystemRng, now).unwrap(),
        )
    };
    // Another browser did not start the logout.
    assert_eq!(scene.browser().get(&answer(Ended::All)).await.status, 400);
    assert_eq!(browser.get(&answer(Ended::NotAll)).await.status, 403);
    browser.turn_to(scene.replicas.context(1));
    browser
        .get(&answer(Ended::All))
        .await
        .says("Your sessions here and at Corp have ended");
    assert_eq!(browser.get(&answer(Ended::All)).await.status, 400);
}

/// Parses our metadata as the identity provider does.
async fn as_provider(browser: &mut Browser) -> Provider {
    let metadata = browser.get("/saml/metadata").await.body;
    // A service provider has no sign-on service. It gets one so that the parser accepts the metadata.
    let metadata = metadata
        .replace("SPSSODescriptor", "IDPSSODescriptor")
        .replace("<md:AssertionConsumerService ", "<md:SingleSignOnService ");
    Provider::from_metadata(&metadata, MetadataOptions::default(), UnixMillis(0)).unwrap()
}

#[tokio::test]
async fn malformed_logout_messages_are_refused() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    for path in [
        "/saml/logout",
        "/saml/logout?SAMLRequest=a&SAMLResponse=b",
        "/saml/logout?SAMLResponse=b",
    ] {
        assert_eq!(browser.get(path).await.status, 400, "{path}");
    }
    assert_eq!(
        browser.get("/saml/logout?SAMLRequest=AAAA").await.status,
        401
    );
    let fields = [("SAMLRequest", "PGEvPg==")];
    assert_eq!(
        browser
            .post_from("/saml/logout", &fields, &[("origin", BASE)])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn an_unknown_person_learns_that_they_are_not_a_user() {
    let scene = Scene::new().await;
    let mut browser = scene.browser();
    let request = scene.request(&mut browser).await;
    let mut draft = scene.draft(&request);
    draft.attributes = draft.attributes.replace("j42", "J42");
    let shown = scene.answer(&mut browser, &request, &draft).await;
    assert_eq!(shown.status, 403, "{shown:#?}");
    assert_eq!(scene.reason().await, "identity_unknown");
    assert!(!browser.cookies.contains_key(SESSION));
}

#[tokio::test]
async fn a_provider_that_takes_forms_alone_gets_one() {
    let scene = Scene::with("", |metadata| {
        let redirect = metadata.find("<md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect").unwrap();
        let end = redirect + metadata[redirect..].find("/>").unwrap() + 2;
        format!("{}{}", &metadata[..redirect], &metadata[end..])
    })
    .await;
    let mut browser = scene.browser();
    let shown = scene.begin(&mut browser).await;
    assert_eq!(shown.status, 200);
    shown.says("action=\"https://idp.example.org/login\"");
    shown.says("data-submit");
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https:"), "{policy}");
    let document = String::from_utf8(STANDARD.decode(shown.field("SAMLRequest")).unwrap()).unwrap();
    assert!(document.contains("<ds:SignatureValue>"), "{document}");
    let id = document
        .split(" ID=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let request = Request {
        id: id.to_owned(),
        state: shown.field("RelayState"),
    };
    let draft = scene.draft(&request);
    assert_eq!(
        scene.answer(&mut browser, &request, &draft).await.status,
        303
    );
}

#[tokio::test]
async fn w05_a_disabled_provider_is_not_offered_and_refuses_logins() {
    let scene = Scene::with("isDisabled: true,", |metadata| metadata).await;
    let mut browser = scene.browser();
    assert!(!browser.get("/login").await.body.contains("Corp"));
    assert_eq!(scene.begin(&mut browser).await.status, 400);
}

#[tokio::test]
async fn metadata_that_describe_no_provider_are_refused_when_they_are_written() {
    let scene = Scene::new().await;
    let create = async |metadata: &str| {
        let yaml = format!(
            "{{kind: IdentityProvider, metadata: {{name: bad}}, spec: {{saml: {{metadata: '{metadata}'}}}}}}"
        );
        let created = scene
            .replicas
            .first()
            .create::<api::core_v1::IdentityProvider>(&scene.replicas.actor, &yaml);
        created.await.unwrap_err().public().to_owned()
    };
    assert!(create("<a/>").await.contains("not SAML 2.0 metadata"));
    let good = scene.idp.metadata(BASE);
    let bad = good.replace(
        "https://idp.example.org/login",
        "http://idp.example.org/login",
    );
    assert!(create(&bad).await.contains("not an https URL"));
    Provider::from_metadata(&good, MetadataOptions::default(), UnixMillis(0)).unwrap();
}

#[tokio::test]
async fn one_of_several_providers_is_chosen_and_signers_are_held_to() {
    let other = IdentityProvider::new("https://other.example.org").unwrap();
    let several = |metadata: &str| {
        format!(
            "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{}{metadata}</md:EntitiesDescriptor>",
            other.metadata("https://other.example.org")
        )
    };
    let chosen = |metadata: String| format!("{}', providerEntityID: '{BASE}", several(&metadata));
    let scene = Scene::with("", chosen).await;
    let mut browser = scene.browser();
    scene.log_in(&mut browser, "_s1").await;
    assert_eq!(browser.get("/").await.status, 200);

    let refused = async |rest: &str| {
        let metadata = several(&scene.idp.metadata(BASE));
        let yaml = format!(
            "{{kind: IdentityProvider, metadata: {{name: more}}, spec: {{saml: {{metadata: '{metadata}'{rest}}}}}}}"
        );
        let created = scene
            .replicas
            .first()
            .create::<api::core_v1::IdentityProvider>(&scene.replicas.actor, &yaml);
        created.await.unwrap_err().public().to_owned()
    };
    let unclear = refused("").await;
    assert!(unclear.contains("2 identity providers"), "{unclear}");
    let missing = refused(", providerEntityID: 'https://nobody.example.org'").await;
    assert!(missing.contains("spec.saml.metadata"), "{missing}");
    let no_certificate = refused(", metadataSigners: [certificate]").await;
    assert!(
        no_certificate.contains("spec.saml.metadataSigners[0]: not a certificate in PEM"),
        "{no_certificate}"
    );
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\\n{}\\n-----END CERTIFICATE-----\\n",
        STANDARD.encode(other.key.certificate().der())
    );
    let unsigned = refused(&format!(
        ", providerEntityID: '{BASE}', metadataSigners: [\"{pem}\"]"
    ))
    .await;
    assert!(unsigned.contains("not signed"), "{unsigned}");
}
