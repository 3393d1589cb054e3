//! The upgrade of documents that earlier builds stored. Their bodies hold values that this build seals beside the body
//! or does not store.

use api::core_v1::{Credential, Secret, Session};
use domain::id::Uid;
use store::{CommitError, Document, Expected, Operation, SecretWrite, Transaction};

use crate::{
    Context, Error,
    document::codec::{self, Resource},
};

/// The number of documents read at a time.
const PAGE: u32 = 1000;

/// Rewrites the documents that earlier builds stored.
///
/// # Errors
/// Returns an error if the store fails.
pub(crate) async fn upgrade(context: &Context) -> Result<(), Error> {
    upgrade_kind::<Secret>(context).await?;
    upgrade_kind::<Credential>(context).await?;
    upgrade_kind::<Session>(context).await
}

async fn upgrade_kind<T: Resource>(context: &Context) -> Result<(), Error> {
    let mut after: Option<Uid> = None;
    loop {
        let now = context.now();
        let documents = context.store.scan(T::DOCUMENT, after, PAGE, now).await?;
        for document in &documents {
            upgrade_document::<T>(context, document).await?;
        }
        let count = u32::try_from(documents.len()).unwrap_or(PAGE);
        after = documents.last().map(|document| document.uid);
        if count < PAGE {
            return Ok(());
        }
    }
}

async fn upgrade_document<T: Resource>(
    context: &Context,
    document: &Document,
) -> Result<(), Error> {
    let Ok(stored) = T::decode(document.body.as_slice()) else {
        // `octeliumd doctor` reports a damaged document.
        return Ok(());
    };
    let mut message = stored.clone();
    message.remove_data();
    let has_public_secret = message != stored;
    let (uid, created_at) = (document.uid, document.created_at);
    let new = codec::encode(uid, created_at, &message, SecretWrite::Keep);
    if new.body == stored.encode_to_vec() {
        return Ok(());
    }
    let mut transaction = Transaction::at(context.now());
    transaction.push(Operation::Put(new, Expected::Revision(document.revision)));
    match context.store.commit(transaction).await {
        Ok(_) => {}
        // Another replica has rewritten or changed the document.
        Err(CommitError::Conflict { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if has_public_secret {
        tracing::warn!(
            secret = document.name,
            "spec.data of a Secret contained values other than certificates in plain text; they were removed: rotate \
             these values"
        );
    }
    Ok(())
}
