//! Requirements of existing clients: lists within the default message limit of gRPC libraries, and warnings.

use api::{
    core_v1::{
        Condition, ListPolicyOptions, Policy, Service,
        condition::Type,
        main_service_client::MainServiceClient as CoreClient,
        policy::{Spec, spec::Rule, spec::rule::Effect},
    },
    meta_v1::{CommonListOptions, Metadata},
    platform_v1::{
        AccessEvent, ApplyRequest, AuditEvent, ListAccessEventOptions, ListAuditEventOptions,
        main_service_client::MainServiceClient as PlatformClient,
    },
    resource::Object as _,
};
use prost::Message as _;
use tonic::{Code, Request};

use crate::{
    authentication::api::{Router, router, with},
    cluster::parse,
    replicas::{Backend, Replicas, log_in},
};

/// 3.5 MiB. gRPC libraries read 4 MiB by default.
const MOST_ON_A_PAGE: usize = 7 << 19;

struct Administrator {
    replicas: Replicas,
    token: String,
}

impl Administrator {
    async fn log_in() -> Self {
        let replicas = Replicas::start(Backend::Sqlite, 1).await;
        replicas.workload("admin").await;
        let spec = "authorization: { policies: [allow-all] }";
        let credential = replicas.credential("AUTH_TOKEN", "admin", spec).await;
        let secret = replicas.issue(&credential).await;
        let token = log_in(replicas.context(0), &secret).await.unwrap();
        Self {
            replicas,
            token: token.access_token,
        }
    }

    async fn router(&self) -> Router {
        router(self.replicas.context(0)).await
    }

    /// Returns a client with default limits.
    async fn core(&self) -> CoreClient<Router> {
        CoreClient::new(self.router().await)
    }

    async fn platform(&self) -> PlatformClient<Router> {
        PlatformClient::new(self.router().await)
    }

    fn with<T>(&self, message: T) -> Request<T> {
        with(message, "x-octelium-auth", &self.token)
    }
}

/// Returns a Policy of about 90 KB.
fn large_policy(number: usize) -> Policy {
    let text = "x".repeat(8_900);
    let rule = |_| Rule {
        effect: Effect::Deny.into(),
        condition: Some(Condition {
            r#type: Some(Type::Match(format!("ctx.user.metadata.name == \"{text}\""))),
        }),
        ..Rule::default()
    };
    Policy {
        metadata: Some(Metadata {
            name: format!("large-{number:02}"),
            ..Metadata::default()
        }),
        spec: Some(Spec {
            rules: (0..10).map(rule).collect(),
            ..Spec::default()
        }),
        ..Policy::default()
    }
}

fn page(page: u32) -> CommonListOptions {
    CommonListOptions {
        page,
        items_per_page: 1000,
        order_by: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_policies_are_listed_within_the_default_limit_of_clients_g5() {
    let administrator = Administrator::log_in().await;
    let mut core = administrator.core().await;
    for number in 0..60 {
        let policy = large_policy(number);
        assert!(policy.encoded_len() > 89_000);
        core.create_policy(administrator.with(policy))
            .await
            .unwrap();
    }
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let options = ListPolicyOptions {
            common: Some(page(pages)),
        };
        let list = core.list_policy(administrator.with(options)).await.unwrap();
        let list = list.into_inner();
        assert!(list.encoded_len() < MOST_ON_A_PAGE);
        let meta = list.list_response_meta.unwrap();
        assert_eq!((meta.page, meta.items_per_page), (pages, 1000));
        names.extend(list.items.iter().map(|item| item.name().to_owned()));
        pages += 1;
        if !meta.has_more {
            assert_eq!(usize::try_from(meta.total_count).unwrap(), names.len());
            break;
        }
    }
    assert_eq!(pages, 2);
    let mut large = names.clone();
    large.retain(|name| name.starts_with("large-"));
    // Some were created in the same millisecond.
    large.sort();
    let created = (0..60).map(|number| format!("large-{number:02}"));
    assert_eq!(large, created.collect::<Vec<_>>());
    // The offset of smaller pages is still page times items.
    let options = ListPolicyOptions {
        common: Some(CommonListOptions {
            page: 3,
            items_per_page: 10,
            order_by: None,
        }),
    };
    let list = core.list_policy(administrator.with(options)).await.unwrap();
    let list = list.into_inner().items;
    assert!(
        list.iter()
            .map(api::resource::Object::name)
            .eq(names[30..40].iter())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_within_the_default_limit_of_clients_g5() {
    let administrator = Administrator::log_in().await;
    let store = &administrator.replicas.context(0).store;
    let now = administrator.replicas.context(0).now().to_proto();
    let audit = (0..500_u32).map(|number| AuditEvent {
        at: Some(now),
        r#type: "test.event".to_owned(),
        user_agent: "x".repeat(20_000),
        request_id: number.to_string(),
        ..AuditEvent::default()
    });
    store.append_audit(audit.collect()).await.unwrap();
    let access = (0..500_u32).map(|number| AccessEvent {
        at: Some(now),
        path: "x".repeat(20_000),
        request_id: number.to_string(),
        ..AccessEvent::default()
    });
    store.append_access(access.collect()).await.unwrap();

    let mut platform = administrator.platform().await;
    let mut found = (Vec::new(), Vec::new());
    for number in 0.. {
        let options = ListAuditEventOptions {
            common: Some(page(number)),
            r#type: "test.event".to_owned(),
            ..ListAuditEventOptions::default()
        };
        let list = platform.list_audit_event(administrator.with(options)).await;
        let list = list.unwrap().into_inner();
        assert!(list.encoded_len() < MOST_ON_A_PAGE);
        found
            .0
            .extend(list.items.into_iter().map(|item| item.request_id));
        if !list.list_response_meta.unwrap().has_more {
            break;
        }
    }
    for number in 0.. {
        let options = ListAccessEventOptions {
            common: Some(page(number)),
            ..ListAccessEventOptions::default()
        };
        let list = platform
            .list_access_event(administrator.with(options))
            .await;
        let list = list.unwrap().into_inner();
        assert!(list.encoded_len() < MOST_ON_A_PAGE);
        found
            .1
            .extend(list.items.into_iter().map(|item| item.request_id));
        if !list.list_response_meta.unwrap().has_more {
            break;
        }
    }
    // Newest first.
    let expected: Vec<_> = (0..500_u32)
        .rev()
        .map(|number| number.to_string())
        .collect();
    assert_eq!(found, (expected.clone(), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_is_larger_than_what_clients_read_g5() {
    let administrator = Administrator::log_in().await;
    // A Service with more inline Policies than fit.
    let mut service: Service = parse(
        "{kind: Service, metadata: {name: web}, spec: {mode: HTTP, isPublic: true, config: {upstream: {url: 'http://a'}}, \
         authorization: {}}}",
    );
    let policies = &mut service
        .spec_mut()
        .authorization
        .as_mut()
        .unwrap()
        .inline_policies;
    policies.extend((0..50).map(|number| api::core_v1::InlinePolicy {
        name: format!("large-{number}"),
        spec: large_policy(number).spec,
    }));
    let apply = ApplyRequest {
        resources: vec![service.into_resource()],
        ..ApplyRequest::default()
    };
    let mut platform = administrator.platform().await;
    let response = platform.apply(administrator.with(apply)).await.unwrap();
    let [problem] = &response.get_ref().problems[..] else {
        panic!("{response:?}");
    };
    assert_eq!(problem.code, Code::InvalidArgument as u32);
    assert!(
        problem.message.starts_with("The Service web.default has ")
            && problem.message.ends_with("at most 3145728 are allowed"),
        "{}",
        problem.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_service_is_accepted_with_a_warning_g8() {
    let administrator = Administrator::log_in().await;
    let mut core = administrator.core().await;
    let service = |name: &str, public: bool| {
        parse::<Service>(&format!(
            "{{kind: Service, metadata: {{name: {name}}}, spec: {{mode: HTTP, isPublic: {public}, config: \
             {{upstream: {{url: 'http://a'}}}}}}}}"
        ))
    };
    let warning = "The Service hidden.default is private and no client can reach it: this Cluster has no private \
                   network. Set spec.isPublic to serve it over HTTPS";
    let created = core
        .create_service(administrator.with(service("hidden", false)))
        .await
        .unwrap();
    assert_eq!(
        created.metadata().get("x-octelium-warning").unwrap(),
        warning
    );
    let updated = core
        .update_service(administrator.with(service("hidden", true)))
        .await
        .unwrap();
    assert!(updated.metadata().get("x-octelium-warning").is_none());
    let updated = core
        .update_service(administrator.with(service("hidden", false)))
        .await
        .unwrap();
    assert_eq!(
        updated.metadata().get("x-octelium-warning").unwrap(),
        warning
    );

    let apply = ApplyRequest {
        resources: vec![
            service("hidden", false).into_resource(),
            service("open", true).into_resource(),
        ],
        ..ApplyRequest::default()
    };
    let mut platform = administrator.platform().await;
    let response = platform.apply(administrator.with(apply)).await.unwrap();
    let results = response.into_inner().results;
    let warnings: Vec<_> = results.into_iter().map(|result| result.warnings).collect();
    assert_eq!(warnings, [vec![warning.to_owned()], Vec::new()]);
}
