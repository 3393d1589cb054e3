//! Creation of many Users in a data directory. It writes directly to the store, which is faster than the API, and
//! copies the form of the first User, which the API created.

use std::{collections::BTreeSet, path::Path};

use api::{
    core_v1::{Credential, User, credential::spec::Type},
    resource::Object as _,
};
use domain::{
    clock::{Clock as _, SystemClock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::{Rng, SeededRng, random_string},
    token::{Claims, SigningKey, TokenType},
};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use server::document::{
    codec::{self, Resource, Stored},
    load,
};
use store::{Expected, Operation, SecretWrite, Store, Transaction, sqlite::Sqlite};
use tempfile::TempDir;

use crate::{
    api::{Api, spec},
    http::Target,
    replica::Replica,
};

const TEMPLATE: &str = "workload-0";
/// The number of Credentials in one transaction, including their new Users.
const BATCH: usize = 2000;
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A stopped Cluster.
pub(crate) struct Population {
    pub(crate) directory: TempDir,
    /// Authentication tokens for one login each, distributed over the Users, in random order.
    pub(crate) tokens: Vec<String>,
}

/// Creates a Cluster with `users` Users. Each has a Credential for one login, or several if there are fewer Users than
/// `tokens`.
pub(crate) async fn populate(users: usize, tokens: usize) -> Population {
    let replica = Replica::start();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    api.make_workloads(&[TEMPLATE.to_owned()], &spec(Type::AuthToken, 1))
        .await;
    api.secret(TEMPLATE).await;
    let directory = replica.stop();
    let tokens = fill(&directory.path().join("data"), users, tokens).await;
    Population { directory, tokens }
}

async fn fill(data_dir: &Path, users: usize, tokens: usize) -> Vec<String> {
    let store = Sqlite::open(data_dir, None, &SystemClock).unwrap();
    let now = SystemClock.now();
    let rng = SeededRng::new(1);
    let signing = signing_key(&store, now).await;
    let user: Stored<User> = template(&store, now).await;
    let credential: Stored<Credential> = template(&store, now).await;

    let mut made: Vec<User> = Vec::with_capacity(users);
    let mut ready = Vec::with_capacity(tokens);
    let count = users.max(tokens);
    let mut number = 0;
    while number < count {
        let mut transaction = Transaction::at(now);
        for number in number..(number + BATCH).min(count) {
            if number < users {
                let user = another(&user.message, &format!("user-{number}"), &rng);
                put(&mut transaction, &user, now);
                made.push(user);
            }
            let owner = &made[number % users];
            let credential = owned(&credential.message, owner, number, &rng);
            put(&mut transaction, &credential, now);
            // Selects them evenly.
            if number * tokens / count != (number + 1) * tokens / count {
                ready.push(secret(&signing, &credential, store.cluster_uid()));
            }
        }
        store.commit(transaction).await.unwrap();
        number += BATCH;
    }
    ready.shuffle(&mut StdRng::seed_from_u64(1));
    let distinct: BTreeSet<&String> = ready.iter().collect();
    assert_eq!(distinct.len(), tokens);
    ready
}

async fn signing_key(store: &Sqlite, now: UnixMillis) -> SigningKey {
    let keys = store.scan(Kind::SigningKey, None, 1, now).await.unwrap();
    let secret = store.secret(Kind::SigningKey, keys[0].uid).await.unwrap();
    SigningKey::from_pkcs8(keys[0].uid, &secret.unwrap()).unwrap()
}

async fn template<T: Resource>(store: &Sqlite, now: UnixMillis) -> Stored<T> {
    let found = load::by_name::<T>(store, TEMPLATE, now).await.unwrap();
    found.unwrap()
}

fn another<T: Resource + Clone>(template: &T, name: &str, rng: &dyn Rng) -> T {
    let mut another = template.clone();
    let metadata = another.metadata_mut();
    metadata.uid = Uid::random(rng).to_string();
    name.clone_into(&mut metadata.name);
    another
}

fn owned(template: &Credential, owner: &User, number: usize, rng: &dyn Rng) -> Credential {
    let mut credential = another(template, &format!("credential-{number}"), rng);
    owner.name().clone_into(&mut credential.spec_mut().user);
    let status = credential.status_mut();
    status.user_ref = Some(owner.reference());
    status.id = random_string(rng, ALPHABET, status.id.len());
    status.token_id = Uid::random(rng).to_string();
    credential
}

fn put<T: Resource>(transaction: &mut Transaction, message: &T, now: UnixMillis) {
    let uid = message.uid().parse().unwrap();
    let document = codec::encode(uid, now, message, SecretWrite::Keep);
    transaction.push(Operation::Put(document, Expected::Absent));
}

fn secret(signing: &SigningKey, credential: &Credential, audience: Uid) -> String {
    let status = credential.status.as_ref().unwrap();
    let claims = Claims {
        token_type: TokenType::Credential,
        key_id: signing.id(),
        subject: credential.uid().parse().unwrap(),
        token_id: status.token_id.parse().unwrap(),
        expires_at: None,
        credential_version: status.version,
        audience,
    };
    signing.sign(&claims).expose().to_owned()
}
