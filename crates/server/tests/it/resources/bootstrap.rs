use api::{
    core_v1::{Credential, Service},
    meta_v1::GetOptions,
    resource::Object as _,
};
use server::resource::read;

use crate::cluster::Cluster;

#[tokio::test]
async fn each_built_in_service_has_what_clients_dereference() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let list = read::list::<Service>(&cluster.context, None, None)
        .await
        .unwrap();
    let mut names: Vec<&str> = list.items.iter().map(Service::name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "auth.octelium-api",
            "default.default",
            "default.octelium-api",
            "portal.default"
        ]
    );
    for service in &list.items {
        let status = service.status().unwrap();
        assert!(
            status
                .namespace_ref
                .as_ref()
                .is_some_and(|to| !to.uid.is_empty())
        );
        assert!(
            status
                .region_ref
                .as_ref()
                .is_some_and(|to| to.name == "default")
        );
        assert_eq!(status.addresses.len(), 1);
        assert_eq!(status.port, 443);
        assert!(service.metadata().unwrap().is_system);
    }
}

#[tokio::test]
async fn of_replicas_that_begin_together_one_gets_the_root_token() {
    let store = store::testing::sqlite();
    let (one, two) = tokio::join!(Cluster::on(store.clone()), Cluster::on(store.clone()));
    assert!(one.root_token.is_some() ^ two.root_token.is_some());
    let later = Cluster::on(store).await;
    assert!(later.root_token.is_none());

    let which = GetOptions {
        name: "root-init".to_owned(),
        ..GetOptions::default()
    };
    let credential: Credential = read::get(&later.context, &which).await.unwrap();
    let status = credential.status().unwrap();
    assert_eq!(status.user_ref.as_ref().unwrap().name, "root");
    assert_eq!(status.version, 1);
    assert_eq!(credential.metadata().unwrap().resource_version, "1");
}
