//! The SAML key pair of the Cluster. It is sealed in the store, so all replicas use the same one.

use std::time::Duration;

use authn::saml::{DecryptionKey, KeyMaterial, SigningKey, generate};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{CommitError, Expected, NewDocument, Operation, SecretWrite, Transaction};

use crate::{Context, Error, provider_cache::SamlKeys};

/// Name of the key's document.
const NAME: &str = "saml";
/// Lifetime of the certificate. Providers configure it manually, so it is long.
const LIFETIME: Duration = Duration::from_hours(20 * 365 * 24);

/// Reads the key, or creates it if it does not exist.
///
/// # Errors
/// Returns an error if the store fails or the stored key is invalid.
pub(super) async fn open(ctx: &Context) -> Result<SamlKeys, Error> {
    if let Some(keys) = read(ctx).await? {
        return Ok(keys);
    }
    create(ctx).await?;
    read(ctx)
        .await?
        .ok_or_else(|| Error::internal("the SAML key does not exist although it was just created"))
}

async fn read(ctx: &Context) -> Result<Option<SamlKeys>, Error> {
    let now = ctx.now();
    let document = ctx.store.get_by_name(Kind::Certificate, NAME, now).await?;
    let Some(document) = document else {
        return Ok(None);
    };
    let pkcs8 = ctx
        .store
        .secret(Kind::Certificate, document.uid)
        .await?
        .ok_or_else(|| Error::internal("the SAML key is not in the store"))?;
    let broken = |error: authn::saml::Error| Error::internal(error.reason().to_owned());
    Ok(Some(SamlKeys {
        signing: SigningKey::new(&pkcs8, &document.body).map_err(broken)?,
        decryption: DecryptionKey::new(&pkcs8, &document.body).map_err(broken)?,
    }))
}

/// Creates the key. Succeeds if another replica created it first.
async fn create(ctx: &Context) -> Result<(), Error> {
    let now = ctx.now();
    let material = make(ctx, now).await?;
    let mut transaction = Transaction::at(now);
    let document = NewDocument {
        kind: Kind::Certificate,
        uid: Uid::random(&*ctx.rng),
        name: NAME.to_owned(),
        created_at: now,
        expires_at: None,
        body: material.certificate,
        indexes: Vec::new(),
        secret: SecretWrite::Set(material.pkcs8),
    };
    transaction.push(Operation::Put(document, Expected::Absent));
    match ctx.store.commit(transaction).await {
        Ok(_) => {
            tracing::info!("created the SAML key of the Cluster");
            Ok(())
        }
        Err(CommitError::NameTaken { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Generates the key on a blocking thread, because the search for primes is slow.
async fn make(ctx: &Context, now: UnixMillis) -> Result<KeyMaterial, Error> {
    let name = ctx.domain.host().to_owned();
    let rng = ctx.rng.clone();
    tokio::task::spawn_blocking(move || generate(&name, &*rng, now, LIFETIME))
        .await
        .map_err(Error::internal)?
        .map_err(|error| Error::internal(error.reason().to_owned()))
}
