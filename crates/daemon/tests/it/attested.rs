//! Attested keys, and the Policy of the public page that requires a model, with the running program.

use std::fs;

use authn::{
    mds::testing::Publisher,
    webauthn::testing::{Model, SoftwareAuthenticator, Tampering},
};
use serde_json::json;

use crate::{
    browser::link,
    support::{
        cluster::Cluster,
        https::{Answer, Https},
        upstream::Upstream,
        visitor::{Visitor, attribute},
    },
};

/// The model that the documentation page uses.
const AAGUID: &str = "cb69481e-8ff7-4039-93ec-0a2729a154a8";

/// A person with a browser and keys.
struct Person {
    visitor: Visitor,
    origin: &'static str,
}

impl Person {
    /// Enrolls a person with an administrator's link. Returns the first page that they see.
    async fn enrolled(cluster: &Cluster, name: &str) -> (Self, Answer) {
        let domain = cluster.domain();
        let mut person = Self {
            visitor: Visitor::new(&Https::new(cluster), domain.clone()),
            origin: Box::leak(format!("https://{domain}").into_boxed_str()),
        };
        let link = link(&cluster.administrator(), cluster, name);
        person.visitor.post("/enroll", &[("link", &link)]).await;
        let page = person.visitor.open("/").await;
        (person, page)
    }

    fn twist(&self) -> Tampering {
        Tampering {
            origin: Some(self.origin),
            ..Tampering::default()
        }
    }

    async fn add(&mut self, key: &mut SoftwareAuthenticator) -> Answer {
        let page = self.visitor.open("/authenticators").await;
        let token = attribute(&page, "name=\"token\"", "value");
        let fields = [("token", token.as_str()), ("name", "key")];
        let page = self.visitor.post("/authenticators/fido", &fields).await;
        let response = key.create(&attribute(&page, "<form", "data-options"), &self.twist());
        self.answer(&page, "/authenticators/fido/finish", &response)
            .await
    }

    async fn prove(
        &mut self,
        page: &Answer,
        key: &mut SoftwareAuthenticator,
        path: &str,
    ) -> Answer {
        let options = attribute(page, "data-webauthn=\"get\"", "data-options");
        let response = key.get(&options, &self.twist());
        self.answer(page, path, &response).await
    }

    /// Submits the form of the page as its script would.
    async fn answer(&mut self, page: &Answer, path: &str, response: &str) -> Answer {
        let (_, form) = page.body.split_once("data-webauthn").unwrap();
        let (form, _) = form.split_once("</form>").unwrap();
        let mut fields = Vec::new();
        for input in form.split("<input type=\"hidden\"").skip(1) {
            let input = Answer {
                body: input.to_owned(),
                ..page.clone()
            };
            let name = attribute(&input, "", "name");
            if name != "response" {
                fields.push((name, attribute(&input, "", "value")));
            }
        }
        fields.push(("response".to_owned(), response.to_owned()));
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.visitor.post(path, &fields).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_the_documented_policy_admits_only_the_named_model() {
    let folder = tempfile::tempdir().unwrap();
    let (publisher, model) = (Publisher::fido(), Model::new(AAGUID.parse().unwrap()));
    let other = Model::new("84c6ccb9-ab1d-b374-750b-2367ff6f3a1f".parse().unwrap());
    let entry = |aaguid: &str, model: &Model| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        json!({
            "aaguid": aaguid,
            "metadataStatement": {
                "description": "Key of the page",
                "keyProtection": ["hardware", "secure_element"],
                "attestationRootCertificates": [STANDARD.encode(&model.root)],
            },
            "statusReports": [{"status": "FIDO_CERTIFIED_L1"}],
        })
    };
    let blob = publisher.publish(&json!({
        "no": 1,
        "nextUpdate": "2100-01-01",
        "entries": [
            entry(AAGUID, &model),
            entry("84c6ccb9-ab1d-b374-750b-2367ff6f3a1f", &other),
        ],
    }));
    let (file, anchor) = (folder.path().join("blob"), folder.path().join("root.pem"));
    fs::write(&file, blob).unwrap();
    let pem = pem_of(&publisher.root);
    fs::write(&anchor, pem).unwrap();
    let cluster = Cluster::start_with(&[
        "--mds-file",
        file.to_str().unwrap(),
        "--mds-anchor",
        anchor.to_str().unwrap(),
    ]);
    let admin = cluster.administrator();
    let upstream = Upstream::start().await;
    let policy = crate::authenticators::RULES[3];
    let service = format!(
        "{policy}---\nkind: User\nmetadata: {{ name: john }}\nspec: {{ type: HUMAN }}\n---\nkind: Service\nmetadata: {{ name: guarded }}\n\
         spec: {{ mode: HTTP, isPublic: true, authorization: {{ policies: [allowed-devices] }}, config: {{ upstream: {{ url: 'http://{}' }} }} }}\n",
        upstream.address
    );
    admin
        .sh_with_input("octeliumctl apply -", &service)
        .success();
    let shown = admin.sh("octeliumctl get mds").success();
    assert!(shown.stdout.contains("CURRENT"), "{shown:#?}");

    let domain = cluster.domain();
    let (mut john, page) = Person::enrolled(&cluster, "john").await;
    assert!(page.status.is_success(), "{page:#?}");

    // The login alone is not sufficient, and the denial names what would be. He cannot get such a model here.
    let guarded = format!("https://guarded.{domain}/a");
    let denied = john.visitor.open(&guarded).await;
    assert_eq!(denied.status, 403, "{denied:#?}");

    // A verified key of another model does not match, and an unattested key has no model.
    let (mut foreign, mut plain) = (
        SoftwareAuthenticator::of_model(&other),
        SoftwareAuthenticator::new(),
    );
    for key in [&mut foreign, &mut plain] {
        let added = john.add(key).await;
        assert!(added.status.is_success(), "{added:#?}");
        let page = john.visitor.open("/authenticators/authenticate").await;
        let used = john
            .prove(&page, key, "/authenticators/authenticate/key")
            .await;
        assert!(used.status.is_success(), "{used:#?}");
        let denied = john.visitor.open(&guarded).await;
        assert_eq!(denied.status, 403, "{denied:#?}");
    }

    // With a key of the named model, the page asks for it at once, and access is granted.
    let mut key = SoftwareAuthenticator::of_model(&model);
    let added = john.add(&mut key).await;
    assert!(added.status.is_success(), "{added:#?}");
    let asked = john.visitor.open(&guarded).await;
    assert!(asked.body.contains("Verify it's you"), "{asked:#?}");
    let let_in = john
        .prove(&asked, &mut key, "/authenticators/authenticate/key")
        .await;
    assert_eq!(let_in.status, 200, "{let_in:#?}");
    assert!(let_in.body.contains("\"/a\""), "{let_in:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_enforcement_rules_work() {
    let cluster = Cluster::start();
    let admin = cluster.administrator();
    let people = "kind: Group\nmetadata: { name: friends }\n---\nkind: User\nmetadata: { name: john }\nspec: { type: HUMAN }\n\
                  ---\nkind: User\nmetadata: { name: mary }\nspec: { type: HUMAN, groups: [friends] }\n\
                  ---\nkind: User\nmetadata: { name: jane }\nspec: { type: HUMAN, groups: [friends], email: jane@example.com }\n";
    admin.sh_with_input("octeliumctl apply -", people).success();
    let apply = |rules: &str| {
        admin.sh_with_input("octeliumctl apply -", rules).success();
    };
    let path = "/authenticators/authenticate/key";

    // By default, no factor is required.
    let (mut mary, page) = Person::enrolled(&cluster, "mary").await;
    assert!(page.body.contains("<h1>Services</h1>"), "{page:#?}");
    let mut key_of_mary = SoftwareAuthenticator::new();
    assert!(mary.add(&mut key_of_mary).await.status.is_success());

    // Registration rule: a person without an Authenticator must add one first.
    apply(crate::authenticators::RULES[1]);
    let mut keys = Vec::new();
    for name in ["john", "jane"] {
        let (mut person, page) = Person::enrolled(&cluster, name).await;
        let wanted = "The rules of this Cluster require one";
        assert!(page.body.contains(wanted), "{name}: {page:#?}");
        let mut key = SoftwareAuthenticator::new();
        let token = attribute(&page, "name=\"token\"", "value");
        let fields = [("token", token.as_str())];
        let page = person.visitor.post("/authenticators/fido", &fields).await;
        let response = key.create(&attribute(&page, "<form", "data-options"), &person.twist());
        let finish = "/authenticators/fido/finish";
        let added = person.answer(&page, finish, &response).await;
        assert!(added.body.contains("<h1>Services</h1>"), "{added:#?}");
        keys.push((name, key));
    }

    // Authentication rule: jane matches by address, john by browser. Friends are exempt unless they are of example.com.
    apply(crate::authenticators::RULES[0]);
    for (name, mut key) in keys {
        let (mut person, page) = Person::enrolled(&cluster, name).await;
        assert!(page.body.contains("Verify it's you"), "{name}: {page:#?}");
        let proved = person.prove(&page, &mut key, path).await;
        assert!(proved.body.contains("<h1>Services</h1>"), "{proved:#?}");
    }
    let (_, page) = Person::enrolled(&cluster, "mary").await;
    assert!(page.body.contains("<h1>Services</h1>"), "{page:#?}");
}

fn pem_of(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
