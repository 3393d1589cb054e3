//! Invalidation of Credentials whose revocations since the backup are unknown.

use api::core_v1::Credential;
use domain::{clock::UnixMillis, id::Uid, kind::Kind, rng::Rng};
use server::document::codec;
use store::{Expected, Operation, SecretWrite, Store, Transaction};

use crate::storage::all;

/// The number of documents written at a time.
const BATCH: usize = 500;

/// Invalidates every token of every Credential until the Credential is rotated. Returns the number of Credentials.
pub(super) async fn distrust(
    restored: &dyn Store,
    rng: &dyn Rng,
    now: UnixMillis,
) -> anyhow::Result<usize> {
    let documents = all(restored, Kind::Credential, now).await?;
    for batch in documents.chunks(BATCH) {
        let mut transaction = Transaction::at(now);
        for document in batch {
            let mut stored = codec::decode::<Credential>(document)?;
            let status = stored.message.status.get_or_insert_default();
            // The id of a token that does not exist.
            status.token_id = Uid::random(rng).to_string();
            status.version += 1;
            status.previous_token_id.clear();
            status.previous_version = 0;
            status.previous_expires_at = None;
            let document = codec::encode(
                stored.uid,
                stored.created_at,
                &stored.message,
                SecretWrite::Keep,
            );
            transaction.push(Operation::Put(
                document,
                Expected::Revision(stored.revision),
            ));
        }
        restored.commit(transaction).await?;
    }
    Ok(documents.len())
}
