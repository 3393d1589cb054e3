//! The inputs of a decision: subject and target.

use std::sync::Arc;

use api::core_v1;
use cel::{Document, MAX_DOCUMENTS};
use domain::clock::UnixMillis;
use prost::Message;

use crate::{
    RuleList,
    list::{OF_SESSION, SUBJECT, TARGET},
    set::Attachments,
    wire,
};

// Field numbers of `RequestContext`.
const SESSION: u32 = 2;
const USER: u32 = 3;
const GROUPS: u32 = 4;
const DEVICE: u32 = 5;
const SERVICE: u32 = 6;
const NAMESPACE: u32 = 7;

/// Yields the name of an owner and the Policies in its `spec.authorization`. A macro, because each kind has its own
/// authorization type.
macro_rules! attached {
    ($owner:expr, $authorization:expr) => {
        (
            $owner
                .metadata
                .as_ref()
                .map_or("", |metadata| metadata.name.as_str()),
            $authorization.policies.as_slice(),
            $authorization.inline_policies.as_slice(),
        )
    };
}

/// The caller: the parts of `ctx` and the Policies that a Session contributes. Built once for each change of them.
pub struct Subject {
    /// The Session as Policies see it. Each authentication has the time of its proof.
    pub(crate) session: Document,
    /// Times at which the tokens of the authentications were issued, if they differ from the times of the proofs.
    issue_times: Option<Box<[Option<UnixMillis>]>>,
    /// Policies of the Session itself, if it has any.
    pub(crate) attachments: Option<Box<Attachments>>,
    pub(crate) background: Arc<Background>,
}

/// The part of a [`Subject`] that the Sessions of a User share: User, Groups and Device, and the Policies that these
/// and the Credential attach.
pub struct Background {
    /// User, Groups and Device.
    pub(crate) document: Document,
    pub(crate) attachments: Attachments,
}

impl Background {
    /// Copies the data that Policies can read. Later changes of the resources have no effect on it.
    pub fn new<'g>(
        user: &core_v1::User,
        groups: impl IntoIterator<Item = &'g core_v1::Group>,
        credential: Option<&core_v1::Credential>,
        device: Option<&core_v1::Device>,
    ) -> Self {
        let groups: Vec<&core_v1::Group> = groups.into_iter().collect();
        let mut bytes = Vec::new();
        put(&mut bytes, USER, user);
        for group in &groups {
            put(&mut bytes, GROUPS, *group);
        }
        if let Some(device) = device {
            put(&mut bytes, DEVICE, device);
        }
        let user_authorization = user
            .spec
            .as_ref()
            .and_then(|spec| spec.authorization.as_ref());
        let credential_authorization = credential
            .and_then(|credential| credential.spec.as_ref())
            .and_then(|spec| spec.authorization.as_ref());
        let device_authorization = device
            .and_then(|device| device.spec.as_ref())
            .and_then(|spec| spec.authorization.as_ref());
        let groups = groups.into_iter().filter_map(|group| {
            let authorization = group.spec.as_ref()?.authorization.as_ref()?;
            Some(attached!(group, authorization))
        });
        let owners = user_authorization
            .map(|authorization| attached!(user, authorization))
            .into_iter()
            .chain(groups)
            .chain(
                credential
                    .zip(credential_authorization)
                    .map(|(credential, authorization)| attached!(credential, authorization)),
            )
            .chain(
                device
                    .zip(device_authorization)
                    .map(|(device, authorization)| attached!(device, authorization)),
            );
        Self {
            document: Document::new(RuleList::Policy.schema().layout(SUBJECT), &bytes),
            attachments: Attachments::new(owners),
        }
    }

    /// Returns the memory size, in bytes.
    pub fn weight(&self) -> usize {
        self.document.weight() + self.attachments.weight()
    }
}

impl Subject {
    /// Copies the data that Policies can read. Later changes of the resources have no effect on it.
    pub fn new(
        user: &core_v1::User,
        groups: &[core_v1::Group],
        session: &core_v1::Session,
        device: Option<&core_v1::Device>,
    ) -> Self {
        let background = Background::new(user, groups, None, device);
        Self::of(Arc::new(background), session, session)
    }

    /// Creates the subject of a Session that shares its background with others.
    ///
    /// The subject attaches the Policies of `session`. Expressions see `shown` as `ctx.session`, which may also contain
    /// the Policies of the background's Credential.
    pub fn of(
        background: Arc<Background>,
        session: &core_v1::Session,
        shown: &core_v1::Session,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, SESSION, &*domain::session::as_proved(shown));
        let attachments = session
            .spec
            .as_ref()
            .and_then(|spec| spec.authorization.as_ref())
            .filter(|own| !own.policies.is_empty() || !own.inline_policies.is_empty())
            .map(|own| Box::new(Attachments::new([attached!(session, own)])));
        Self {
            session: Document::new(RuleList::Policy.schema().layout(OF_SESSION), &bytes),
            issue_times: domain::session::issue_times(shown),
            attachments,
            background,
        }
    }

    /// Returns the Session, with the times at which its tokens were issued.
    ///
    /// # Errors
    /// Returns an error if the stored message cannot be decoded. This cannot happen, because this type encoded it.
    pub fn session(&self) -> Result<core_v1::Session, prost::DecodeError> {
        let context = core_v1::RequestContext::decode(self.session.bytes())?;
        let mut session = context.session.unwrap_or_default();
        if let Some(times) = &self.issue_times {
            domain::session::set_issue_times(&mut session, times);
        }
        Ok(session)
    }

    /// Returns the memory size without the background, in bytes.
    pub fn weight(&self) -> usize {
        let own = self.attachments.as_ref().map(|own| own.weight());
        let times = self.issue_times.as_deref().map(size_of_val);
        size_of::<Self>() - size_of::<Document>()
            + self.session.weight()
            + own.unwrap_or(0)
            + times.unwrap_or(0)
    }
}

/// Returns the documents of a request, indexed by their layout.
pub(crate) fn documents<'a>(
    subject: Option<&'a Subject>,
    target: &'a Target,
) -> [Option<&'a Document>; MAX_DOCUMENTS] {
    [
        subject.map(|subject| &subject.background.document),
        Some(&target.document),
        subject.map(|subject| &subject.session),
    ]
}

/// The requested resource: the parts of `ctx` and the Policies that a Service contributes.
pub struct Target {
    pub(crate) document: Document,
    pub(crate) attachments: Attachments,
}

impl Target {
    /// Copies the data that Policies can read. Later changes of the resources have no effect on it.
    pub fn new(
        service: &core_v1::Service,
        namespace: &core_v1::Namespace,
        cluster: Option<&core_v1::ClusterConfig>,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, SERVICE, service);
        put(&mut bytes, NAMESPACE, namespace);
        let service_authorization = service
            .spec
            .as_ref()
            .and_then(|spec| spec.authorization.as_ref());
        let namespace_authorization = namespace
            .spec
            .as_ref()
            .and_then(|spec| spec.authorization.as_ref());
        let cluster_authorization = cluster
            .and_then(|cluster| cluster.spec.as_ref())
            .and_then(|spec| spec.authorization.as_ref());
        let owners = service_authorization
            .map(|authorization| attached!(service, authorization))
            .into_iter()
            .chain(namespace_authorization.map(|authorization| attached!(namespace, authorization)))
            .chain(
                cluster
                    .zip(cluster_authorization)
                    .map(|(cluster, authorization)| attached!(cluster, authorization)),
            );
        Self {
            document: Document::new(RuleList::Policy.schema().layout(TARGET), &bytes),
            attachments: Attachments::new(owners),
        }
    }
}

pub(crate) fn put(bytes: &mut Vec<u8>, number: u32, message: &impl Message) {
    wire::put_message(bytes, number, &message.encode_to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_numbers_are_those_of_the_contract() {
        let context = RuleList::Policy.schema().root();
        for (name, number) in [
            ("session", SESSION),
            ("user", USER),
            ("groups", GROUPS),
            ("device", DEVICE),
            ("service", SERVICE),
            ("namespace", NAMESPACE),
        ] {
            let field = context.field(name).unwrap();
            assert_eq!(field.number, number, "{name}");
        }
    }
}
