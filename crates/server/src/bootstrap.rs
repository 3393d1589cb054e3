//! What an empty Cluster begins with.

use api::core_v1::{ClusterConfig, Credential};
use domain::{
    credential::{self, Rotation},
    id::Uid,
    token::{Claims, Token, TokenType},
};
use store::SecretWrite;

use crate::{
    Context, Error,
    resource::{
        author::Author,
        cluster_config,
        codec::Stored,
        draft::Draft,
        load, secret,
        write::{self, Managed, Plan},
    },
};

mod objects;
mod recovery;

pub use recovery::recover;

/// The Service that the API is.
pub const API_SERVICE: &str = "default.octelium-api";
/// Its Namespace.
pub const API_NAMESPACE: &str = "octelium-api";
/// The Credential with which an administrator begins.
pub const ROOT_CREDENTIAL: &str = "root-init";

/// What an empty Cluster began with.
pub struct Bootstrap {
    /// The token of [`ROOT_CREDENTIAL`]; `None` where the Cluster had begun before. It is nowhere else.
    pub root_token: Option<Token>,
}

/// Puts the built-in objects into an empty Cluster, in one transaction. Of replicas that begin together one does, and
/// gets the token. In a Cluster that has begun, documents of earlier releases are brought up to date.
///
/// # Errors
/// Where the store fails.
pub async fn bootstrap(context: &Context) -> Result<Bootstrap, Error> {
    let author = Author::cluster("bootstrap");
    let plan = Begin {
        token_id: context.new_uid(),
    };
    let Some(root) = write::transact(context, &author, &plan).await? else {
        secret::migrate(context).await?;
        return Ok(Bootstrap { root_token: None });
    };
    Ok(Bootstrap {
        root_token: Some(sign(context, &root, plan.token_id)?),
    })
}

/// The authentication token of a Credential that has been rotated to `token_id`.
fn sign(context: &Context, credential: &Stored<Credential>, token_id: Uid) -> Result<Token, Error> {
    let signer = context.keys.signer(context.now())?;
    let status = credential.message.status.as_ref();
    Ok(signer.sign(&Claims {
        token_type: TokenType::Credential,
        key_id: signer.id(),
        subject: credential.uid,
        token_id,
        // That of the Credential counts.
        expires_at: None,
        credential_version: status.map_or(0, |status| status.version),
        audience: context.cluster_uid,
    }))
}

struct Begin {
    token_id: Uid,
}

impl Plan for Begin {
    type Output = Option<Stored<Credential>>;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<Self::Output, Error> {
        if draft
            .find::<ClusterConfig>(cluster_config::NAME)
            .await?
            .is_some()
        {
            return Ok(None);
        }
        if let Err(error) = create_all(draft).await {
            // Another replica has come first, between two reads.
            let store = &*draft.context.store;
            let begun = load::by_name::<ClusterConfig>(store, cluster_config::NAME, draft.now);
            return match begun.await? {
                Some(_) => {
                    draft.discard();
                    Ok(None)
                }
                None => Err(error),
            };
        }
        let root = draft.find::<Credential>(ROOT_CREDENTIAL).await?;
        let mut root = root.ok_or_else(|| Error::internal("the root Credential was not staged"))?;
        credential::rotate(
            &mut root.message,
            Rotation::EndSessions,
            self.token_id,
            draft.now,
        )
        .map_err(|refusal| Error::internal(refusal.reason()))?;
        draft.replace(&root, root.message.clone(), SecretWrite::Keep)?;
        Ok(Some(root))
    }
}

async fn create_all(draft: &mut Draft<'_>) -> Result<(), Error> {
    create(draft, objects::policies()).await?;
    create(draft, [objects::region()]).await?;
    create(draft, [objects::cluster_config()]).await?;
    create(draft, objects::namespaces()).await?;
    create(draft, objects::users()).await?;
    create(draft, objects::services()).await?;
    create(draft, [objects::root_credential(draft.now)]).await
}

async fn create<T: Managed>(
    draft: &mut Draft<'_>,
    objects: impl IntoIterator<Item = T>,
) -> Result<(), Error> {
    for object in objects {
        write::create(draft, object).await?;
    }
    Ok(())
}
