//! Refusals, with their codes and messages.

use api::{
    core_v1::{
        Config, Credential, Device, Group, Namespace, Policy, Secret, Service, Session, User,
    },
    meta_v1::{CommonListOptions, DeleteOptions, GetOptions},
    resource::Object as _,
};
use rstest::rstest;
use server::{
    ErrorKind,
    document::index,
    resource::{
        cluster_config::UpdateClusterConfig,
        read,
        write::{Create, Delete, Managed, Update},
    },
};

use crate::cluster::{Cluster, parse};

fn named(name: &str) -> DeleteOptions {
    DeleteOptions {
        name: name.to_owned(),
        ..DeleteOptions::default()
    }
}

async fn refused<T: Managed>(yaml: &str) -> (ErrorKind, String) {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let group = "{kind: Group, metadata: {name: team}, spec: {}}";
    cluster.create::<Group>(&root, group).await.unwrap();
    let human = "{kind: User, metadata: {name: alice}, spec: {type: HUMAN, email: alice@example.com, groups: [team]}}";
    cluster.create::<User>(&root, human).await.unwrap();
    let secret = "{kind: Secret, metadata: {name: one}, spec: {}, data: {value: x}}";
    cluster.create::<Secret>(&root, secret).await.unwrap();
    let error = cluster.create::<T>(&root, yaml).await.err().unwrap();
    (error.kind(), error.public().to_owned())
}

#[rstest]
#[case::there(
    "{kind: User, metadata: {name: alice}, spec: {type: HUMAN}}",
    "The User alice already exists"
)]
#[case::email(
    "{kind: User, metadata: {name: eve}, spec: {type: HUMAN, email: alice@example.com}}",
    "The email `alice@example.com` already exists for another User"
)]
#[tokio::test]
async fn a_user_that_is_there_is_not_created_again(#[case] yaml: &str, #[case] message: &str) {
    let (kind, text) = refused::<User>(yaml).await;
    assert_eq!((kind, text.as_str()), (ErrorKind::AlreadyExists, message));
}

#[rstest]
#[case::name(
    "{kind: User, metadata: {name: Bob}, spec: {type: HUMAN}}",
    "metadata.name"
)]
#[case::dotted(
    "{kind: User, metadata: {name: bob.eve}, spec: {type: HUMAN}}",
    "metadata.name"
)]
#[case::kind_of_user("{kind: User, metadata: {name: bob}, spec: {}}", "spec.type")]
#[case::workload_email(
    "{kind: User, metadata: {name: bob}, spec: {type: WORKLOAD, email: bob@example.com}}",
    "spec.email"
)]
#[case::upper_case_email(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, email: Bob@example.com}}",
    "spec.email"
)]
#[case::group(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, groups: [nobody]}}",
    "The Group nobody does not exist"
)]
#[case::policy(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, authorization: {policies: [none]}}}",
    "The Policy none does not exist"
)]
#[case::provider(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, authentication: {identities: [{identityProvider: idp, identifier: x}]}}}",
    "The IdentityProvider idp does not exist"
)]
#[case::state(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, session: {defaultState: REJECTED}}}",
    "spec.session.defaultState"
)]
#[case::duration(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, session: {accessTokenDuration: {milliseconds: 5}}}}",
    "spec.session.accessTokenDuration"
)]
#[case::sessions(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, session: {maxPerUser: 10001}}}",
    "spec.session.maxPerUser"
)]
#[case::attrs(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, attrs: {Team: x}}}",
    "spec.attrs"
)]
#[case::effect(
    "{kind: User, metadata: {name: bob}, spec: {type: HUMAN, authorization: {inlinePolicies: [{spec: {rules: [{condition: {matchAny: true}}]}}]}}}",
    "spec.authorization.inlinePolicies[0].spec.rules[0].effect"
)]
#[tokio::test]
async fn a_user_that_breaks_a_rule_is_refused(#[case] yaml: &str, #[case] message: &str) {
    let (kind, text) = refused::<User>(yaml).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with(message), "{text}");
}

#[rstest]
#[case::human_oauth2("{type: OAUTH2, user: alice}", "spec.type")]
#[case::kind_of_credential("{user: alice}", "spec.type")]
#[case::user("{type: AUTH_TOKEN, user: nobody}", "The User nobody does not exist")]
#[case::no_user("{type: AUTH_TOKEN}", "spec.user")]
#[case::past(
    "{type: AUTH_TOKEN, user: alice, expiresAt: '2026-11-21T00:00:00Z'}",
    "spec.expiresAt"
)]
#[case::far(
    "{type: AUTH_TOKEN, user: alice, expiresAt: '2029-11-21T00:00:00Z'}",
    "spec.expiresAt"
)]
#[case::uses(
    "{type: AUTH_TOKEN, user: alice, maxAuthentications: 1000001}",
    "spec.maxAuthentications"
)]
#[case::auto_delete("{type: AUTH_TOKEN, user: alice, autoDelete: true}", "spec.autoDelete")]
#[tokio::test]
async fn a_credential_that_breaks_a_rule_is_refused(#[case] spec: &str, #[case] message: &str) {
    let yaml = format!("{{kind: Credential, metadata: {{name: cred}}, spec: {spec}}}");
    let (kind, text) = refused::<Credential>(&yaml).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with(message), "{text}");
}

#[rstest]
#[case::mode("web", "{mode: SSH}", "spec.mode SSH is not supported yet")]
#[case::no_mode("web", "{}", "spec.mode must be set")]
#[case::no_config("web", "{mode: HTTP}", "spec.config must be set")]
#[case::container(
    "web",
    "{mode: HTTP, config: {upstream: {container: {port: 80, image: x}}}}",
    "spec.config.upstream.container is not supported yet"
)]
#[case::plugins(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, condition: {matchAny: true}, lua: {inline: x}}]}}}",
    "spec.config.http.plugins[0].lua is not supported yet"
)]
#[case::plugin_condition(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, condition: {}, direct: {}}]}}}",
    "spec.config.http.plugins[0].condition must be set"
)]
#[case::plugin_names(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, condition: {matchAny: true}, direct: {}}, {name: xy}]}}}",
    "spec.config.http.plugins[1].name: there are two"
)]
#[case::rate_window(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, condition: {matchAny: true}, rateLimit: {limit: 1, key: {perUser: true}}}]}}}",
    "spec.config.http.plugins[0].rateLimit.window must be set"
)]
#[case::rate_key(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, phase: PRE_AUTH, condition: {matchAny: true}, rateLimit: {limit: 1, window: {seconds: 1}, key: {perUser: true}}}]}}}",
    "spec.config.http.plugins[0].rateLimit.key"
)]
#[case::retries(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {retry: {maxRetries: 101}}}}",
    "spec.config.http.retry.maxRetries"
)]
#[case::timeout(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {timeouts: {response: {hours: 25}}}}}",
    "spec.config.http.timeouts.response"
)]
#[case::grpc_body(
    "web",
    "{mode: GRPC, port: 80, config: {upstream: {url: 'h2c://a'}, http: {body: {mode: JSON}}}}",
    "spec.config.http.body.mode cannot be"
)]
#[case::buffered_size_s02(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {enableRequestBuffering: true, body: {maxRequestSize: 33554433}}}}",
    "spec.config.http.body.maxRequestSize is 33554433; at most 33554432 bytes"
)]
#[case::json_size_s02(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {body: {mode: JSON, maxRequestSize: 33554433}}}}",
    "spec.config.http.body.maxRequestSize is 33554433"
)]
#[case::signed_size_s02(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {body: {maxRequestSize: 33554433}, auth: {sigv4: {accessKeyID: x, region: r, secretAccessKey: {fromSecret: two}, service: lambda}}}}}",
    "spec.config.http.body.maxRequestSize is 33554433"
)]
#[case::inherited_size_s02(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {body: {maxRequestSize: 33554433}}}, dynamicConfig: {configs: [{name: one, parent: default, http: {enableRequestBuffering: true}}], rules: [{condition: {matchAny: true}, configName: one}]}}",
    "spec.dynamicConfig.configs[0].http.body.maxRequestSize is 33554433"
)]
#[case::token_url(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {auth: {oauth2ClientCredentials: {clientID: x, clientSecret: {fromSecret: two}, tokenURL: idp}}}}}",
    "spec.config.http.auth.oauth2ClientCredentials.tokenURL"
)]
#[case::signing_region(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {auth: {sigv4: {accessKeyID: x, secretAccessKey: {fromSecret: two}, service: s3}}}}}",
    "spec.config.http.auth.sigv4.region must be set"
)]
#[case::audience(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {identity: {headers: true, audience: x}}}}",
    "spec.config.http.identity.audience"
)]
#[case::url(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'a:80'}}}",
    "spec.config.upstream.url"
)]
#[case::secret(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {auth: {bearer: {fromSecret: two}}}}}",
    "The Secret two is not found"
)]
#[case::namespace(
    "web.nowhere",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}}}",
    "The Namespace nowhere does not exist"
)]
#[case::parts(
    "a1.b2.c3",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}}}",
    "metadata.name"
)]
#[case::anonymous(
    "web",
    "{mode: HTTP, isAnonymous: true, config: {upstream: {url: 'http://a'}}}",
    "spec.isAnonymous needs spec.isPublic"
)]
#[case::enable_anonymous(
    "web",
    "{mode: HTTP, authorization: {enableAnonymous: true}, config: {upstream: {url: 'http://a'}}}",
    "spec.authorization.enableAnonymous"
)]
#[case::region(
    "web",
    "{mode: HTTP, region: mars, config: {upstream: {url: 'http://a'}}}",
    "The Region mars does not exist"
)]
#[case::config_name(
    "web",
    "{mode: HTTP, config: {name: other, upstream: {url: 'http://a'}}}",
    "spec.config.name"
)]
#[case::w40_expression(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {header: {addRequestHeaders: [{key: X-User, eval: ctx.usr}]}}}}",
    "spec.config.http.header.addRequestHeaders[0].eval: 1:"
)]
#[case::w59_expression_of_another_type(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {header: {host: {eval: 1 + 1}}}}}",
    "spec.config.http.header.host.eval: 1:1: the expression must return string"
)]
#[case::empty_dynamic_config("web", "{mode: HTTP, dynamicConfig: {}}", "spec.config must be set")]
#[case::default_name(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: default, upstream: {url: 'http://a'}}], rules: [{}]}}",
    "spec.dynamicConfig.configs[0].name: `default`"
)]
#[case::same_name(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, upstream: {url: 'http://a'}}, {name: one, upstream: {url: 'http://a'}}]}}",
    "spec.dynamicConfig.configs[1].name"
)]
#[case::dynamic_url(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, upstream: {url: 'a:80'}}], rules: [{condition: {matchAny: true}, configName: one}]}}",
    "spec.dynamicConfig.configs[0].upstream.url"
)]
#[case::unknown_config(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, upstream: {url: 'http://a'}}], rules: [{condition: {matchAny: true}, configName: two}]}}",
    "spec.dynamicConfig.rules[0].configName"
)]
#[case::no_condition(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, upstream: {url: 'http://a'}}], rules: [{configName: one}]}}",
    "spec.dynamicConfig.rules[0].condition must be set"
)]
#[case::no_such_parent(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, parent: two, upstream: {url: 'http://a'}}], rules: [{condition: {matchAny: true}, configName: one}]}}",
    "spec.dynamicConfig.configs[0].parent: the configuration two does not exist"
)]
#[case::its_own_parent(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, parent: one, upstream: {url: 'http://a'}}], rules: [{condition: {matchAny: true}, configName: one}]}}",
    "spec.dynamicConfig.configs[0].parent: one is one of its own parents"
)]
#[case::parent_of_default(
    "web",
    "{mode: HTTP, config: {parent: one, upstream: {url: 'http://a'}}}",
    "spec.config.parent"
)]
#[case::inherited_url(
    "web",
    "{mode: HTTP, dynamicConfig: {configs: [{name: one, upstream: {url: 'a:80'}}, {name: two, parent: one}], rules: [{condition: {matchAny: true}, configName: two}]}}",
    "spec.dynamicConfig.configs[0].upstream.url"
)]
#[case::certificate_secret(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'https://a'}, tls: {clientCertificate: {fromSecret: absent}}}}",
    "The Secret absent is not found"
)]
#[case::certificate_without_tls(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, clientCertificate: {fromSecret: one}}}",
    "spec.config.clientCertificate needs an upstream with TLS"
)]
#[case::identity_header(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {header: {addRequestHeaders: [{key: X_Octelium-User, value: root}]}}}}",
    "spec.config.http.header.addRequestHeaders[0].key"
)]
#[case::credential_in_clear_s11(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {header: {addRequestHeaders: [{key: a, value: b}, {key: X_API.Key, value: c}]}}}}",
    "spec.config.http.header.addRequestHeaders[1].value would be stored and shown in plain text"
)]
#[case::rate_key_before_authentication(
    "web",
    "{mode: HTTP, config: {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, phase: PRE_AUTH, rateLimit: {limit: 1, window: {seconds: 1}}}]}}}",
    "spec.config.http.plugins[0].rateLimit.key must have eval"
)]
#[tokio::test]
async fn a_service_that_breaks_a_rule_is_refused(
    #[case] name: &str,
    #[case] spec: &str,
    #[case] message: &str,
) {
    let yaml = format!("{{kind: Service, metadata: {{name: {name}}}, spec: {spec}}}");
    let (kind, text) = refused::<Service>(&yaml).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with(message), "{text}");
}

#[tokio::test]
async fn a_plugin_needs_neither_condition_nor_key_g6() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let service = "{kind: Service, metadata: {name: web}, spec: {mode: HTTP, isPublic: true, config: \
                   {upstream: {url: 'http://a'}, http: {plugins: [{name: xy, rateLimit: {limit: 1, window: \
                   {seconds: 1}}}, {name: yz, rateLimit: {limit: 1, window: {seconds: 1}, key: {}}}]}}}}";
    let created: Service = cluster.create(&root, service).await.unwrap();
    assert_eq!(created.spec, parse::<Service>(service).spec);
}

#[rstest]
#[case::buffered("enableRequestBuffering: true, body: {maxRequestSize: 33554432}")]
#[case::streamed("body: {maxRequestSize: 4294967295}")]
#[tokio::test]
async fn bodies_can_be_as_large_as_memory_allows_and_larger_if_they_are_streamed_s02(
    #[case] http: &str,
) {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let service = format!(
        "{{kind: Service, metadata: {{name: web}}, spec: {{mode: HTTP, isPublic: true, config: {{upstream: {{url: \
         'http://a'}}, http: {{{http}}}}}}}}}"
    );
    cluster.create::<Service>(&root, &service).await.unwrap();
}

#[rstest]
#[case::namespace_reserved(
    "{kind: Namespace, metadata: {name: octelium-more}, spec: {}}",
    "metadata.name"
)]
#[tokio::test]
async fn a_namespace_that_is_reserved_is_refused(#[case] yaml: &str, #[case] message: &str) {
    let (kind, text) = refused::<Namespace>(yaml).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.starts_with(message), "{text}");
}

#[tokio::test]
async fn unsupported_fields_are_refused_by_name() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let config = parse(
        "{kind: ClusterConfig, metadata: {name: any}, spec: {dns: {fallbackZone: {servers: [1.1.1.1]}}}}",
    );
    let error = cluster
        .run(&root, UpdateClusterConfig(config))
        .await
        .unwrap_err();
    assert_eq!(
        error.public(),
        "spec.dns is not supported yet: leave it out"
    );
    let config = parse(
        "{kind: ClusterConfig, metadata: {name: any}, spec: {session: {human: {clientDuration: {hours: 3}}}}}",
    );
    let config = cluster
        .run(&root, UpdateClusterConfig(config))
        .await
        .unwrap();
    assert_eq!(config.name(), "default");
    assert_eq!(config.status().unwrap().domain, "localhost:8443");
}

#[rstest]
#[case(
    "human: {defaultState: REJECTED}",
    "spec.device.human.defaultState must be ACTIVE or PENDING"
)]
#[case(
    "workload: {defaultState: REJECTED}",
    "spec.device.workload.defaultState must be"
)]
#[case(
    "human: {maxPerUser: 10001}",
    "spec.device.human.maxPerUser is 10001; at most 10000"
)]
#[case(
    "workload: {maxPerUser: 10001}",
    "spec.device.workload.maxPerUser is 10001"
)]
#[tokio::test]
async fn settings_of_devices_are_checked_g3(#[case] device: &str, #[case] message: &str) {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let yaml =
        format!("{{kind: ClusterConfig, metadata: {{name: any}}, spec: {{device: {{{device}}}}}}}");
    let refused = cluster.run(&root, UpdateClusterConfig(parse(&yaml))).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.public().starts_with(message), "{}", error.public());
}

#[tokio::test]
async fn the_spec_comes_back_as_it_was_sent_with_everything_that_clients_dereference() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let yaml = "
kind: Service
metadata: {name: web, displayName: Web, labels: {tier: front}, tags: [one]}
spec:
  mode: HTTP
  isPublic: true
  config: {upstream: {url: 'http://LOCALHOST:8080/'}}
  attrs: {team: [a, b], nested: {deepKey: 1.5}}
";
    let sent: Service = parse(yaml);
    let created = cluster.run(&root, Create(sent.clone())).await.unwrap();
    let which = GetOptions {
        name: "web".to_owned(),
        ..GetOptions::default()
    };
    let read: Service = read::get(&cluster.context, &which).await.unwrap();
    assert_eq!(read, created);
    assert_eq!(read.spec, sent.spec);
    assert_eq!(
        (read.api_version.as_str(), read.kind.as_str()),
        ("core/v1", "Service")
    );
    let metadata = read.metadata().unwrap();
    assert_eq!(
        (metadata.name.as_str(), metadata.display_name.as_str()),
        ("web.default", "Web")
    );
    let status = read.status().unwrap();
    assert_eq!(
        (status.primary_hostname.as_str(), status.port),
        ("web", 8080)
    );
    assert_eq!(status.namespace_ref.as_ref().unwrap().name, "default");
    assert_eq!(status.addresses.len(), 1);

    // An update keeps the fields of the Cluster and clears omitted fields.
    let update: Service = parse(
        "{kind: Service, metadata: {name: web.default}, spec: {mode: HTTP, config: {upstream: {url: 'https://localhost'}}}}",
    );
    let updated = cluster.run(&root, Update(update)).await.unwrap();
    assert_eq!(updated.uid(), created.uid());
    assert_eq!(updated.status().unwrap().port, 80);
    assert!(updated.metadata().unwrap().labels.is_empty());
}

#[tokio::test]
async fn system_objects_are_neither_changed_nor_deleted() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for name in [
        "default.octelium-api",
        "auth.octelium-api",
        "default.default",
        "portal",
    ] {
        let error = cluster
            .run(&root, Delete::<Service>::new(named(name)))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.public()),
            (ErrorKind::PermissionDenied, "This is a System Resource")
        );
    }
    for name in ["default", "octelium", "octelium-api"] {
        let error = cluster
            .run(&root, Delete::<Namespace>::new(named(name)))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    let error = cluster
        .run(&root, Delete::<User>::new(named("octelium")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let policy: Policy = parse("{kind: Policy, metadata: {name: deny-all}, spec: {rules: []}}");
    let error = cluster.run(&root, Update(policy)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // Clients cannot create system objects.
    let sent: Group = {
        let mut group: Group = parse("{kind: Group, metadata: {name: team}, spec: {}}");
        group.metadata_mut().is_system = true;
        group.metadata_mut().uid = "00000000-0000-4000-8000-000000000000".to_owned();
        group
    };
    let created = cluster.run(&root, Create(sent)).await.unwrap();
    assert!(!created.metadata().unwrap().is_system);
    assert_ne!(created.uid(), "00000000-0000-4000-8000-000000000000");
}

#[tokio::test]
async fn objects_in_use_are_not_deleted_and_deleting_a_user_deletes_its_objects() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for (yaml, error) in [
        ("team", "There are Users belonging to this Group"),
        ("shop", "Namespace has existing Services"),
        ("staff", "There are Policies"),
    ] {
        match yaml {
            "team" => {
                cluster
                    .create::<Group>(&root, "{kind: Group, metadata: {name: team}, spec: {}}")
                    .await
                    .unwrap();
                cluster.create::<User>(&root, "{kind: User, metadata: {name: bob}, spec: {type: WORKLOAD, groups: [team]}}").await.unwrap();
                let refused = cluster
                    .run(&root, Delete::<Group>::new(named("team")))
                    .await
                    .unwrap_err();
                assert!(refused.public().starts_with(error));
            }
            "shop" => {
                cluster
                    .create::<Namespace>(
                        &root,
                        "{kind: Namespace, metadata: {name: shop}, spec: {}}",
                    )
                    .await
                    .unwrap();
                cluster.create::<Service>(&root, "{kind: Service, metadata: {name: web.shop}, spec: {mode: HTTP, config: {upstream: {url: 'http://a'}}}}").await.unwrap();
                let refused = cluster
                    .run(&root, Delete::<Namespace>::new(named("shop")))
                    .await
                    .unwrap_err();
                assert!(refused.public().starts_with(error));
            }
            _ => {
                cluster
                    .create::<Policy>(&root, "{kind: Policy, metadata: {name: staff}, spec: {}}")
                    .await
                    .unwrap();
                let child = cluster
                    .create::<Policy>(
                        &root,
                        "{kind: Policy, metadata: {name: readers.staff}, spec: {}}",
                    )
                    .await
                    .unwrap();
                assert_eq!(
                    child
                        .status()
                        .unwrap()
                        .parent_policy_ref
                        .as_ref()
                        .unwrap()
                        .name,
                    "staff"
                );
                let refused = cluster
                    .run(&root, Delete::<Policy>::new(named("staff")))
                    .await
                    .unwrap_err();
                assert!(refused.public().starts_with(error));
            }
        }
    }
    let orphan = cluster
        .create::<Policy>(
            &root,
            "{kind: Policy, metadata: {name: one.nowhere}, spec: {}}",
        )
        .await;
    assert_eq!(orphan.unwrap_err().kind(), ErrorKind::InvalidArgument);

    let (_, token) = cluster
        .issue(
            &root,
            "{kind: Credential, metadata: {name: bob-token}, spec: {type: AUTH_TOKEN, user: bob}}",
        )
        .await;
    let bob = cluster.log_in(&token).await.unwrap();
    cluster
        .run(&root, Delete::<User>::new(named("bob")))
        .await
        .unwrap();
    assert!(bob.principal.revoked.is_cancelled());
    assert!(cluster.log_in(&token).await.is_err());
    let of_bob = Some((index::USER, bob.principal.user().uid().to_owned()));
    let sessions = read::list::<Session>(&cluster.context, None, of_bob.clone())
        .await
        .unwrap();
    let credentials = read::list::<Credential>(&cluster.context, None, of_bob)
        .await
        .unwrap();
    assert!(sessions.items.is_empty() && credentials.items.is_empty());
}

#[tokio::test]
async fn callers_cannot_delete_or_disable_their_own_user_or_session() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let error = cluster
        .run(&root, Delete::<User>::new(named("root")))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.public()),
        (
            ErrorKind::PermissionDenied,
            "You cannot delete your own User account"
        )
    );
    let disabled: User =
        parse("{kind: User, metadata: {name: root}, spec: {type: WORKLOAD, isDisabled: true}}");
    let error = cluster.run(&root, Update(disabled)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let own = root.principal.session().name().to_owned();
    let error = cluster
        .run(&root, Delete::<Session>::new(named(&own)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.public()),
        (ErrorKind::PermissionDenied, "Cannot delete own Session")
    );
    let mut session = root.principal.session();
    session.metadata_mut().resource_version.clear();
    session
        .spec_mut()
        .set_state(api::core_v1::session::spec::State::Pending);
    let error = cluster.run(&root, Update(session)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_credential_keeps_its_type_and_user_and_gets_an_id() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let made: Credential = cluster
        .create(
            &root,
            "{kind: Credential, metadata: {name: one}, spec: {type: OAUTH2, user: root}}",
        )
        .await
        .unwrap();
    let status = made.status().unwrap();
    let is_part = |part: &str| {
        part.len() == 4
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let (one, two) = status.id.split_once('-').unwrap();
    assert!(is_part(one) && is_part(two), "{}", status.id);
    assert_eq!(status.user_ref.as_ref().unwrap().name, "root");
    assert!(status.token_id.is_empty());
    for (spec, message) in [
        (
            "{type: AUTH_TOKEN, user: root}",
            "The Credential type cannot be modified",
        ),
        (
            "{type: OAUTH2, user: octelium}",
            "The Credential User cannot be modified",
        ),
    ] {
        let yaml = format!("{{kind: Credential, metadata: {{name: one}}, spec: {spec}}}");
        let error = cluster
            .run(&root, Update(parse::<Credential>(&yaml)))
            .await
            .unwrap_err();
        assert_eq!(error.public(), message);
    }
}

#[tokio::test]
async fn a14_an_object_is_reached_only_by_its_name_and_kind() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let one = "{kind: Secret, metadata: {name: one}, spec: {}, data: {value: x}}";
    let secret = cluster.create::<Secret>(&root, one).await.unwrap();
    let by_uid = DeleteOptions {
        uid: secret.uid().to_owned(),
        ..DeleteOptions::default()
    };
    // The uid belongs to another kind.
    let error = cluster
        .run(&root, Delete::<Config>::new(by_uid.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = cluster
        .run(&root, Delete::<Device>::new(by_uid.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for uid in [
        "",
        "x",
        "00000000-0000-0000-0000-000000000000",
        "%",
        "' OR 1=1 --",
    ] {
        let which = DeleteOptions {
            uid: uid.to_owned(),
            ..DeleteOptions::default()
        };
        let error = cluster
            .run(&root, Delete::<Secret>::new(which))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{uid}");
    }
    for name in ["' OR 1=1 --", "%", "o_e", "one\0", "../one", "ONE"] {
        let error = cluster
            .run(&root, Delete::<Secret>::new(named(name)))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::InvalidArgument | ErrorKind::NotFound
            ),
            "{name}"
        );
    }
    cluster
        .run(&root, Delete::<Secret>::new(by_uid))
        .await
        .unwrap();
}

#[tokio::test]
async fn a21_pages_hold_each_object_once_and_those_of_another_user_never() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for name in ["bob", "eve"] {
        let user = format!("{{kind: User, metadata: {{name: {name}}}, spec: {{type: WORKLOAD}}}}");
        cluster.create::<User>(&root, &user).await.unwrap();
        for number in 10..17 {
            let credential = format!(
                "{{kind: Credential, metadata: {{name: {name}-{number}}}, spec: {{type: OAUTH2, user: {name}}}}}"
            );
            cluster
                .create::<Credential>(&root, &credential)
                .await
                .unwrap();
        }
    }
    let bob = api::meta_v1::ObjectReference {
        name: "bob".to_owned(),
        ..Default::default()
    };
    let filter = read::filter::<User>(&cluster.context, index::USER, Some(&bob))
        .await
        .unwrap();
    let mut names = Vec::new();
    for page in 0.. {
        let common = CommonListOptions {
            page,
            items_per_page: 3,
            order_by: Some(api::meta_v1::common_list_options::OrderBy { r#type: 1, mode: 2 }),
        };
        let list = read::list::<Credential>(&cluster.context, Some(&common), filter.clone())
            .await
            .unwrap();
        let meta = list.list_response_meta.unwrap();
        assert_eq!(
            (meta.page, meta.items_per_page, meta.total_count),
            (page, 3, 7)
        );
        names.extend(list.items.iter().map(|item| item.name().to_owned()));
        if !meta.has_more {
            let past = CommonListOptions {
                page: page + 1,
                ..common
            };
            let error = read::list::<Credential>(&cluster.context, Some(&past), filter)
                .await
                .unwrap_err();
            assert_eq!(
                (error.kind(), error.public()),
                (ErrorKind::NotFound, "Not Items found for that page")
            );
            break;
        }
    }
    let expected: Vec<String> = (10..17)
        .rev()
        .map(|number| format!("bob-{number}"))
        .collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn errors_of_an_expression_have_line_and_column() {
    let spec = "
kind: Policy
metadata: {name: staff}
spec:
  rules:
    - effect: ALLOW
      condition: {matchAny: true}
    - effect: ALLOW
      condition:
        all:
          of:
            - match: |-
                true &&
                  ctx.user.spec.nonsense == 1
";
    let (kind, text) = refused::<Policy>(spec).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(
        text.starts_with("spec.rules[1].condition.all.of[0].match: 2:"),
        "{text}"
    );
    assert!(text.contains("nonsense"), "{text}");

    let opa = "{kind: Policy, metadata: {name: staff}, spec: {rules: [{effect: ALLOW, condition: {opa: {inline: 'package x'}}}]}}";
    let (kind, text) = refused::<Policy>(opa).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.contains("spec.rules[0].condition.opa"), "{text}");
}

#[rstest]
#[case("all")]
#[case("any")]
#[case("none")]
#[tokio::test]
async fn a_condition_of_no_conditions_is_refused(#[case] quantifier: &str) {
    let policy = format!(
        "{{kind: Policy, metadata: {{name: all}}, spec: {{rules: [{{effect: ALLOW, condition: {{{quantifier}: {{of: []}}}}}}]}}}}"
    );
    let (kind, text) = refused::<Policy>(&policy).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(
        text.contains(&format!("spec.rules[0].condition.{quantifier}.of")),
        "{text}"
    );
}
