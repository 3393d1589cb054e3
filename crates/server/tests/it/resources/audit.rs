use api::{
    core_v1::{Group, Service},
    meta_v1::{DeleteOptions, GetOptions, ObjectReference},
    platform_v1::ListAuditEventOptions,
    resource::Object as _,
    user_v1::{ListNamespaceOptions, ListServiceOptions},
};
use server::{
    ErrorKind,
    resource::{audit, visible, write::Delete},
};

use crate::cluster::Cluster;

const GROUP: &str = "{kind: Group, metadata: {name: team}, spec: {}}";

#[tokio::test]
async fn each_change_has_one_event_that_says_who_did_what() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let group = cluster.create::<Group>(&root, GROUP).await.unwrap();
    cluster.create::<Group>(&root, GROUP).await.unwrap_err();

    let of_group = ListAuditEventOptions {
        resource_ref: Some(ObjectReference {
            kind: "Group".to_owned(),
            name: "team".to_owned(),
            ..ObjectReference::default()
        }),
        ..ListAuditEventOptions::default()
    };
    let list = audit::list(&cluster.context, &of_group).await.unwrap();
    let [event] = list.items.as_slice() else {
        panic!("one event: {:?}", list.items);
    };
    assert_eq!((event.r#type.as_str(), event.count), ("group.created", 1));
    assert_eq!(event.resource_ref.as_ref().unwrap().uid, group.uid());
    assert_eq!(
        event.actor_ref.as_ref().unwrap().uid,
        root.principal.session().uid()
    );
    assert_eq!(event.user_ref.as_ref().unwrap().name, "root");
    assert_eq!(event.request_id, "request");

    // Events of deleted objects are found by uid.
    let which = DeleteOptions {
        name: "team".to_owned(),
        ..DeleteOptions::default()
    };
    cluster
        .run(&root, Delete::<Group>::new(which))
        .await
        .unwrap();
    let error = audit::list(&cluster.context, &of_group).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let by_uid = ListAuditEventOptions {
        resource_ref: Some(ObjectReference {
            uid: group.uid().to_owned(),
            ..ObjectReference::default()
        }),
        ..ListAuditEventOptions::default()
    };
    let list = audit::list(&cluster.context, &by_uid).await.unwrap();
    let types: Vec<&str> = list
        .items
        .iter()
        .map(|event| event.r#type.as_str())
        .collect();
    assert_eq!(types, ["group.deleted", "group.created"]);
    assert_eq!(list.list_response_meta.unwrap().total_count, 2);
}

#[tokio::test]
async fn users_see_services_but_not_what_the_cluster_is_made_of() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for (name, mode) in [("web", "HTTP"), ("api", "GRPC")] {
        let yaml = format!(
            "{{kind: Service, metadata: {{name: {name}}}, spec: {{mode: {mode}, config: {{upstream: {{url: 'http://127.0.0.1:8080'}}}}}}}}"
        );
        cluster.create::<Service>(&root, &yaml).await.unwrap();
    }
    let everything = ListServiceOptions::default();
    let all = visible::list_services(&cluster.context, &everything)
        .await
        .unwrap();
    let mut names: Vec<String> = all
        .items
        .iter()
        .map(|service| service.metadata.as_ref().unwrap().name.clone())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["api.default", "web.default"]);
    assert_eq!(all.list_response_meta.unwrap().total_count, 2);

    let grpc = ListServiceOptions {
        namespace: "default".to_owned(),
        r#type: api::user_v1::service::spec::Type::Grpc.into(),
        ..ListServiceOptions::default()
    };
    let grpc = visible::list_services(&cluster.context, &grpc)
        .await
        .unwrap();
    assert_eq!(grpc.items.len(), 1);
    assert_eq!(
        grpc.items[0].status.as_ref().unwrap().primary_hostname,
        "api"
    );

    let everything = ListNamespaceOptions::default();
    let namespaces = visible::list_namespaces(&cluster.context, &everything)
        .await
        .unwrap();
    assert_eq!(namespaces.items.len(), 1);
    for name in ["default.octelium-api", "portal", "nothing"] {
        let which = GetOptions {
            name: name.to_owned(),
            ..GetOptions::default()
        };
        let error = visible::get_service(&cluster.context, &which)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let hidden = ListServiceOptions {
        namespace: "octelium-api".to_owned(),
        ..ListServiceOptions::default()
    };
    let error = visible::list_services(&cluster.context, &hidden)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
