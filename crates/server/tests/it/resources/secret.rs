//! Secrets and their readable parts.

use api::{
    core_v1::{Secret, secret},
    meta_v1::{CommonListOptions, GetOptions},
    resource::Object as _,
};
use domain::{id::Uid, kind::Kind, rng::SystemRng};
use prost::Message as _;
use server::{
    ErrorKind, bootstrap,
    document::codec,
    resource::{read, write::Update},
};
use store::{Expected, Operation, SecretWrite, Transaction};
use zeroize::Zeroizing;

use crate::cluster::{Cluster, parse};

const CHAIN: &str =
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUMBBF\n-----END CERTIFICATE-----\n";
const MARKER: &str = "hush-hush";

fn yaml(beside: &str) -> String {
    format!(
        "{{kind: Secret, metadata: {{name: cert}}, spec: {{data: {{value: {beside:?}}}}}, data: {{value: key}}}}"
    )
}

fn beside(secret: &Secret) -> Option<&secret::spec::data::Type> {
    secret.spec()?.data.as_ref()?.r#type.as_ref()
}

#[tokio::test]
async fn only_certificates_of_a_secret_are_returned_s11() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for text in [
        MARKER.to_owned(),
        format!("{CHAIN}{MARKER}"),
        CHAIN.replace("CERTIFICATE", "PRIVATE KEY"),
        String::new(),
    ] {
        let refused = cluster.create::<Secret>(&root, &yaml(&text)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(refused.public().starts_with("spec.data"), "{refused}");
        assert!(!refused.public().contains(MARKER), "{refused}");
    }
    let created: Secret = cluster.create(&root, &yaml(CHAIN)).await.unwrap();
    let chain = secret::spec::data::Type::Value(CHAIN.to_owned());
    assert_eq!(beside(&created), Some(&chain));
    assert_eq!(created.data, None);
    let refused = cluster
        .run(&root, Update(parse::<Secret>(&yaml(MARKER))))
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let which = GetOptions {
        name: "cert".to_owned(),
        ..GetOptions::default()
    };
    let kept: Secret = read::get(&cluster.context, &which).await.unwrap();
    assert_eq!(beside(&kept), Some(&chain));
}

#[tokio::test]
async fn a_secret_of_an_earlier_release_is_emptied_of_what_it_shows_s11() {
    let store = store::testing::sqlite();
    let cluster = Cluster::on(store.clone()).await;
    let ctx = &cluster.context;
    let uid = Uid::random(&SystemRng);
    let mut old = Secret::default();
    old.metadata_mut().name = "old".to_owned();
    old.spec_mut().data = Some(secret::spec::Data {
        r#type: Some(secret::spec::data::Type::Value(format!(
            "{MARKER}\n{CHAIN}"
        ))),
    });
    let sealed = Zeroizing::new(b"sealed".to_vec());
    let mut transaction = Transaction::at(ctx.now());
    transaction.push(Operation::Put(
        codec::encode(uid, ctx.now(), &old, SecretWrite::Set(sealed)),
        Expected::Absent,
    ));
    ctx.store.commit(transaction).await.unwrap();
    let holds = async || {
        let document = store
            .get(Kind::Secret, uid, ctx.now())
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&document.body).contains(MARKER)
    };
    assert!(holds().await);

    // No call returns it, even before the migration.
    let chain = secret::spec::data::Type::Value(CHAIN.to_owned());
    let which = GetOptions {
        name: "old".to_owned(),
        ..GetOptions::default()
    };
    let shown: Secret = read::get(ctx, &which).await.unwrap();
    assert_eq!(beside(&shown), Some(&chain));
    let options = CommonListOptions::default();
    let list = read::list::<Secret>(ctx, Some(&options), None)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&list.encode_to_vec()).contains(MARKER));
    let document = store
        .get(Kind::Secret, uid, ctx.now())
        .await
        .unwrap()
        .unwrap();
    let any = codec::decode_any(&document).unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&any.encode_to_vec()).contains(MARKER));

    // The next start rewrites it once, and keeps the sealed data.
    let begun = bootstrap::bootstrap(ctx).await.unwrap();
    assert!(begun.root_token.is_none());
    assert!(!holds().await);
    let revision = store
        .get(Kind::Secret, uid, ctx.now())
        .await
        .unwrap()
        .unwrap();
    bootstrap::bootstrap(ctx).await.unwrap();
    let again = store
        .get(Kind::Secret, uid, ctx.now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(revision.revision, again.revision);
    let sealed = store.secret(Kind::Secret, uid).await.unwrap().unwrap();
    assert_eq!(&**sealed, b"sealed");
}
