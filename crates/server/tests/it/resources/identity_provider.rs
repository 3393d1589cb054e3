//! Validation of `IdentityProviders`.

use api::{
    core_v1::{Group, IdentityProvider, Secret, identity_provider::status::Type},
    meta_v1::DeleteOptions,
};
use rstest::rstest;
use server::{
    Actor, Error, ErrorKind,
    resource::write::{Delete, Managed, Update},
};

use crate::cluster::{Cluster, parse};

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

struct Scene {
    cluster: Cluster,
    root: Actor,
}

impl Scene {
    async fn new() -> Self {
        let cluster = Cluster::on(store::testing::sqlite()).await;
        let root = cluster.root().await;
        let secret = "{kind: Secret, metadata: {name: one}, spec: {}, data: {value: x}}";
        cluster.create::<Secret>(&root, secret).await.unwrap();
        let group = "{kind: Group, metadata: {name: team}, spec: {}}";
        cluster.create::<Group>(&root, group).await.unwrap();
        Self { cluster, root }
    }

    async fn create(&self, name: &str, spec: &str) -> Result<IdentityProvider, Error> {
        let yaml = format!("{{kind: IdentityProvider, metadata: {{name: {name}}}, spec: {spec}}}");
        self.cluster.create(&self.root, &yaml).await
    }

    async fn delete<T: Managed>(&self, name: &str) -> Result<(), Error> {
        let which = DeleteOptions {
            name: name.to_owned(),
            ..DeleteOptions::default()
        };
        self.cluster.run(&self.root, Delete::<T>::new(which)).await
    }
}

fn oidc(issuer: &str) -> String {
    format!("{{oidc: {{issuerURL: '{issuer}', clientID: a, clientSecret: {{fromSecret: one}}}}}}")
}

#[rstest]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}}",
    Type::Github
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}, baseURL: 'https://github.example/'}}",
    Type::Github
)]
#[case(
    "{oidc: {issuerURL: 'https://idp.example/', clientID: a, clientSecret: {fromSecret: one}, scopes: [openid, email]}, \
     enableEmailAsIdentity: true, displayName: Staff}",
    Type::Oidc
)]
#[case(
    "{oidcIdentityToken: {issuerURL: 'https://token.actions.githubusercontent.com', audience: me}}",
    Type::OidcIdentityToken
)]
#[case(
    "{oidcIdentityToken: {jwksURL: 'https://idp.example/keys', issuer: kubernetes/serviceaccount, allowReuse: true}}",
    Type::OidcIdentityToken
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, \
     aalRules: [{aal: AAL2, condition: {match: 'ctx.assertionMap.two_factor_authentication == true'}}], \
     postAuthenticationRules: [{effect: DENY, condition: {not: 'ctx.user.spec.type == \"HUMAN\"'}}], \
     userCreation: {condition: {match: 'ctx.email.endsWith(\"@example.com\")'}, groups: [team]}, \
     groupMappings: [{eval: 'ctx.assertionMap.groups', groups: [team]}]}",
    Type::Github
)]
#[tokio::test]
async fn valid_specs_are_stored_as_sent(#[case] spec: &str, #[case] expected: Type) {
    let scene = Scene::new().await;
    let created = scene.create("idp", spec).await.unwrap();
    assert_eq!(created.status.unwrap().r#type(), expected);
    let yaml = format!("{{kind: IdentityProvider, metadata: {{name: idp}}, spec: {spec}}}");
    assert_eq!(created.spec, parse::<IdentityProvider>(&yaml).spec);
}

#[rstest]
#[case("{}", "spec must have one of github, oidc, saml and oidcIdentityToken")]
#[case("{github: {clientSecret: {fromSecret: one}}}", "spec.github.clientID")]
#[case(
    "{github: {clientID: 'a b', clientSecret: {fromSecret: one}}}",
    "spec.github.clientID"
)]
#[case("{github: {clientID: a}}", "spec.github.clientSecret.fromSecret")]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}, baseURL: 'http://github.example'}}",
    "spec.github.baseURL must begin with https://"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}, baseURL: 'https://github.example/api'}}",
    "spec.github.baseURL must be a URL with a host"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: two}}}",
    "The Secret two is not found"
)]
#[case(
    "{oidc: {issuerURL: 'http://idp.example', clientID: a, clientSecret: {fromSecret: one}}}",
    "spec.oidc.issuerURL must begin with https://"
)]
#[case(
    "{oidc: {issuerURL: 'https://idp.example/.well-known/openid-configuration', clientID: a, clientSecret: {fromSecret: one}}}",
    "spec.oidc.issuerURL must be the issuer itself"
)]
#[case(
    "{oidc: {issuerURL: 'https://u@idp.example', clientID: a, clientSecret: {fromSecret: one}}}",
    "spec.oidc.issuerURL must not contain a user"
)]
#[case(
    "{oidc: {issuerURL: 'https://idp.example', clientID: a, clientSecret: {fromSecret: one}, scopes: [a, a]}}",
    "spec.oidc.scopes has a twice"
)]
#[case(
    "{oidc: {issuerURL: 'https://idp.example', clientID: a, clientSecret: {fromSecret: one}, checkEmailVerified: true, allowUnverifiedEmail: true}}",
    "spec.oidc.checkEmailVerified and spec.oidc.allowUnverifiedEmail contradict"
)]
#[case("{saml: {}}", "spec.saml must have one of metadata and metadataURL")]
#[case(
    "{saml: {metadataURL: 'http://idp.example'}}",
    "spec.saml.metadataURL must begin"
)]
#[case("{oidcIdentityToken: {}}", "spec.oidcIdentityToken must have one of")]
#[case(
    "{oidcIdentityToken: {issuerURL: 'https://idp.example', issuer: x}}",
    "spec.oidcIdentityToken.issuer must be left out"
)]
#[case(
    "{oidcIdentityToken: {jwksURL: 'https://idp.example'}}",
    "spec.oidcIdentityToken.issuer must be set"
)]
#[case(
    "{oidcIdentityToken: {jwksContent: '{}', issuer: x}}",
    "spec.oidcIdentityToken.jwksContent not a JSON Web Key Set"
)]
#[case(
    "{oidcIdentityToken: {jwksContent: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}', issuer: x}}",
    "spec.oidcIdentityToken.jwksContent contains a private or secret key"
)]
#[case(
    "{oidcIdentityToken: {issuerURL: 'https://idp.example'}, userCreation: {condition: {matchAny: true}}}",
    "spec.userCreation and spec.groupMappings are for providers that people sign in with"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, displayName: \"a\\nb\"}",
    "spec.displayName must have at most 256 bytes, and no control characters"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, aalRules: [{condition: {matchAny: true}}]}",
    "spec.aalRules[0].aal must be"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, aalRules: [{aal: AAL1, condition: {match: 'ctx.user'}}]}",
    "spec.aalRules[0].condition.match: 1:"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, postAuthenticationRules: [{effect: DENY}]}",
    "spec.postAuthenticationRules[0].condition must be set"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, postAuthenticationRules: [{condition: {matchAny: true}}]}",
    "spec.postAuthenticationRules[0].effect must be"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, userCreation: {condition: {matchAny: true}, groups: [nobody]}}",
    "The Group nobody does not exist"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, userCreation: {groups: [team]}}",
    "spec.userCreation.condition must be set"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, groupMappings: [{eval: '1', groups: [team]}]}",
    "spec.groupMappings[0].eval: 1:1: the expression must return string or list(string)"
)]
#[case(
    "{github: {clientID: a, clientSecret: {fromSecret: one}}, groupMappings: [{eval: 'ctx.email'}]}",
    "spec.groupMappings[0].groups must name"
)]
#[tokio::test]
async fn invalid_specs_are_refused(#[case] spec: &str, #[case] message: &str) {
    let error = Scene::new().await.create("idp", spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.public().starts_with(message), "{}", error.public());
}

#[tokio::test]
async fn an_issuer_belongs_to_one_provider_of_a_type() {
    let scene = Scene::new().await;
    scene
        .create("one", &oidc("https://idp.example"))
        .await
        .unwrap();
    let error = scene
        .create("two", &oidc("https://IDP.example:443/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        error.public(),
        "The IdentityProvider one has the issuer https://idp.example already"
    );
    let token = "{oidcIdentityToken: {issuerURL: 'https://idp.example'}}";
    scene.create("three", token).await.unwrap();
    let fixed =
        format!("{{oidcIdentityToken: {{jwksContent: '{JWKS}', issuer: 'https://idp.example/'}}}}");
    scene.create("four", &fixed).await.unwrap_err();
    // The provider's own issuer does not conflict with its update.
    let yaml = format!(
        "{{kind: IdentityProvider, metadata: {{name: one}}, spec: {}}}",
        oidc("https://idp.example/")
    );
    let update = Update(parse::<IdentityProvider>(&yaml));
    scene.cluster.run(&scene.root, update).await.unwrap();
    scene.delete::<IdentityProvider>("one").await.unwrap();
    scene
        .create("two", &oidc("https://idp.example"))
        .await
        .unwrap();
}

#[tokio::test]
async fn objects_that_a_provider_uses_are_not_deleted() {
    let scene = Scene::new().await;
    let spec = "{github: {clientID: a, clientSecret: {fromSecret: one}}, \
                groupMappings: [{eval: ctx.email, groups: [team]}]}";
    scene.create("idp", spec).await.unwrap();
    let error = scene.delete::<Secret>("one").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(
        error
            .public()
            .starts_with("The IdentityProvider idp uses this Secret")
    );
    let error = scene.delete::<Group>("team").await.unwrap_err();
    assert!(
        error
            .public()
            .starts_with("The IdentityProvider idp puts Users into this Group")
    );
    scene.delete::<IdentityProvider>("idp").await.unwrap();
    scene.delete::<Secret>("one").await.unwrap();
    scene.delete::<Group>("team").await.unwrap();
}
