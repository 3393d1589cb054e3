//! Initialization of an empty Cluster.

use api::core_v1::{ClusterConfig, Credential};
use domain::{
    credential::{self, Rotation},
    id::Uid,
    token::{Claims, Token, TokenType},
};
use store::SecretWrite;

use crate::{
    Context, Error,
    document::{codec::Stored, load},
    resource::{
        author::Author,
        cluster_config,
        draft::Draft,
        upgrade,
        write::{self, Managed, Plan},
    },
};

mod objects;
mod recovery;

pub use recovery::recover;

/// Name of the first administrator's Credential.
pub const ROOT_CREDENTIAL: &str = "root-init";

/// The result of the initialization.
pub struct Bootstrap {
    /// The token of [`ROOT_CREDENTIAL`]; `None` if the Cluster was already initialized. It is stored nowhere else.
    pub root_token: Option<Token>,
}

/// Creates the built-in objects of an empty Cluster in one transaction. If several replicas start together, one
/// creates them and gets the token. In an initialized Cluster, migrates documents of earlier releases.
///
/// # Errors
/// Returns an error if the store fails or no signing key is available.
pub async fn bootstrap(context: &Context) -> Result<Bootstrap, Error> {
    let author = Author::cluster("bootstrap");
    let plan = Begin {
        token_id: context.new_uid(),
    };
    let Some(root) = write::transact(context, &author, &plan).await? else {
        upgrade::upgrade(context).await?;
        return Ok(Bootstrap { root_token: None });
    };
    Ok(Bootstrap {
        root_token: Some(sign(context, &root, plan.token_id)?),
    })
}

/// Signs the authentication token of a Credential that was rotated to `token_id`.
fn sign(context: &Context, credential: &Stored<Credential>, token_id: Uid) -> Result<Token, Error> {
    let signer = context.keys.signer(context.now())?;
    let status = credential.message.status.as_ref();
    Ok(signer.sign(&Claims {
        token_type: TokenType::Credential,
        key_id: signer.id(),
        subject: credential.uid,
        token_id,
        // The expiry of the Credential applies.
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
            // Another replica created the objects between two reads.
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
