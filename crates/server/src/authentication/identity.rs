//! An identity that an `IdentityProvider` has proved.

use api::core_v1::{
    IdentityProvider,
    session::status::authentication::{Info, info::Aal},
};
use domain::{clock::UnixMillis, kind::Kind, session};
use store::{Operation, Transaction};

use crate::{Caller, directory::Known};

/// Who somebody is at an `IdentityProvider`, proved.
pub(crate) struct ProvenIdentity {
    /// A login fails where it has changed since the proof was checked against it.
    pub(crate) provider: Known<IdentityProvider>,
    pub(crate) aal: Aal,
    /// As the provider has it, unchanged.
    pub(crate) identifier: String,
    /// Empty where the provider says nothing of it, or nothing that may be believed.
    pub(crate) email: String,
    pub(crate) pic_url: String,
    /// What is used up with the proof, in the transaction that begins the Session.
    pub(crate) records: Vec<SingleUse>,
}

/// Something of which the Cluster remembers that it was used.
pub(crate) struct SingleUse {
    pub(crate) kind: &'static str,
    pub(crate) key: Vec<u8>,
    /// From here on whatever it was of is refused anyway.
    pub(crate) expires_at: UnixMillis,
}

impl ProvenIdentity {
    /// How a Session was authenticated that begins by it.
    pub(crate) fn info(&self, caller: &Caller) -> Info {
        let downstream = session::downstream(caller.ip, &caller.user_agent);
        let seen = session::ExternalIdentity {
            identifier: self.identifier.clone(),
            email: self.email.clone(),
            pic_url: self.pic_url.clone(),
            aal: self.aal,
        };
        session::identity_info(&self.provider.message, seen, downstream)
    }

    pub(super) fn redeem(&self, transaction: &mut Transaction) {
        transaction.push(Operation::Unchanged(
            Kind::IdentityProvider,
            self.provider.uid,
            self.provider.revision,
        ));
        for record in &self.records {
            transaction.push(Operation::Record {
                kind: record.kind,
                key: record.key.clone(),
                value: Vec::new(),
                expires_at: record.expires_at,
            });
        }
    }
}
