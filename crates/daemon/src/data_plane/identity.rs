//! Who is behind a token, asked of the control plane's view of the Cluster.

use std::sync::Arc;

use api::meta_v1::Metadata;
use async_trait::async_trait;
use gateway::{Principal, Rejection};
use policy::PolicySet;
use server::Unauthenticated;

/// The gateway's port to the control plane.
pub(crate) struct Identity(pub(crate) Arc<server::Directory>);

#[async_trait]
impl gateway::Identity for Identity {
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection> {
        let principal = self.0.authenticate(token).await.map_err(rejection)?;
        let credential = principal.credential.as_ref();
        Ok(Principal {
            subject: Arc::clone(&principal.subject),
            revoked: principal.revoked.clone(),
            valid_until: principal.valid_until,
            session: name(principal.session.metadata.as_ref()),
            user: name(principal.user.metadata.as_ref()),
            scopes: principal.scopes().into(),
            credential: credential.map(|credential| name(credential.metadata.as_ref())),
        })
    }

    fn policies(&self) -> PolicySet {
        self.0.policies()
    }

    fn is_fresh(&self) -> bool {
        self.0.is_fresh()
    }
}

fn name(metadata: Option<&Metadata>) -> Arc<str> {
    metadata
        .map_or("", |metadata| metadata.name.as_str())
        .into()
}

fn rejection(unauthenticated: Unauthenticated) -> Rejection {
    match unauthenticated {
        Unauthenticated::Refused { reason } => Rejection::Unauthenticated { reason },
        Unauthenticated::Unavailable => Rejection::Unavailable,
    }
}
