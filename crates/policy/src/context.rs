//! What a decision is about.

use std::sync::Arc;

use api::core_v1;
use domain::clock::UnixMillis;
use prost::Message;

use crate::{
    RuleList,
    document::Document,
    list::{DOCUMENTS, OF_SESSION, SUBJECT, TARGET},
    set::Attachments,
    wire,
};

/// Name of an owner and what its `spec.authorization` attaches: each kind has a type of its own for that.
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

/// Named values of a request that are read one by one: headers (names in lower case), query parameters.
pub trait Fields: Sync {
    /// The first value of that name.
    fn get(&self, name: &str) -> Option<&str>;
    /// Every name with its first value.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// No values at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFields;

impl Fields for NoFields {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }

    fn each(&self, _visit: &mut dyn FnMut(&str, &str)) {}
}

/// `ctx.request`: borrowed, and read only where a Policy asks for it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Address of the client.
    pub ip: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Canonical path, without the query.
    pub path: &'a str,
    /// Path with the query.
    pub uri: &'a str,
    /// Host, without the port.
    pub host: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Length of the body in bytes.
    pub size: i64,
    /// Headers, names in lower case.
    pub headers: &'a dyn Fields,
    /// Query parameters.
    pub query: &'a dyn Fields,
    /// The body where it was read, otherwise empty.
    pub body: &'a [u8],
    /// The body as JSON object where it was read and is one.
    pub body_map: Option<&'a prost_types::Struct>,
    /// Present for a gRPC call.
    pub grpc: Option<Grpc<'a>>,
}

/// `ctx.request.grpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grpc<'a> {
    /// Such as `octelium.api.main.core.v1`.
    pub package: &'a str,
    /// Such as `MainService`.
    pub service: &'a str,
    /// Package and service.
    pub service_full_name: &'a str,
    /// Such as `ListUser`.
    pub method: &'a str,
    /// The encoded `RequestContext.Request.GRPC.Target` of a call of the Cluster's own API; empty if it has none.
    pub target: &'a [u8],
}

impl<'a> Grpc<'a> {
    /// Whether a content type is that of calls: `application/grpc`, with a `+` or `;` suffix or none. The web variant
    /// is plain HTTP to us.
    pub fn is_content_type(value: &[u8]) -> bool {
        match value.split_at_checked(b"application/grpc".len()) {
            Some((kind, suffix)) => {
                kind.eq_ignore_ascii_case(b"application/grpc")
                    && matches!(suffix.first(), None | Some(b'+' | b';' | b' '))
            }
            None => false,
        }
    }

    /// Reads `/package.Service/Method`; `None` for any other path.
    pub fn of_path(path: &'a str) -> Option<Self> {
        let (service_full_name, method) = path.strip_prefix('/')?.split_once('/')?;
        let identifiers = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let (package, service) = service_full_name
            .rsplit_once('.')
            .unwrap_or(("", service_full_name));
        let whole = !service.is_empty() && !method.is_empty();
        (whole && identifiers(service_full_name) && identifiers(method)).then_some(Self {
            package,
            service,
            service_full_name,
            method,
            target: &[],
        })
    }
}

/// Who asks: the part of `ctx` and the Policies that a Session brings, made once per change of them.
pub struct Subject {
    /// The Session as Policies see it: each authentication has the time of its proof.
    pub(crate) session: Document,
    /// When the tokens of its authentications were issued, if those times are others.
    issue_times: Option<Box<[Option<UnixMillis>]>>,
    /// Of the Session alone; most have none.
    pub(crate) attachments: Option<Box<Attachments>>,
    pub(crate) background: Arc<Background>,
}

/// What the Sessions of a User have in common: User, Groups and Device, and the Policies that these and the
/// Credential bring.
pub struct Background {
    /// The User, the Groups and the Device.
    pub(crate) document: Document,
    pub(crate) attachments: Attachments,
}

impl Background {
    /// Takes what Policies may read from the resources, which may then change.
    pub fn new<'g>(
        user: &core_v1::User,
        groups: impl IntoIterator<Item = &'g core_v1::Group>,
        credential: Option<&core_v1::Credential>,
        device: Option<&core_v1::Device>,
    ) -> Self {
        let groups: Vec<&core_v1::Group> = groups.into_iter().collect();
        let mut bytes = Vec::new();
        put(&mut bytes, 3, user);
        for group in &groups {
            put(&mut bytes, 4, *group);
        }
        if let Some(device) = device {
            put(&mut bytes, 5, device);
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

    /// Memory that this takes by itself, in bytes.
    pub fn weight(&self) -> usize {
        self.document.weight() + self.attachments.weight()
    }
}

impl Subject {
    /// Takes what Policies may read from the resources, which may then change.
    pub fn new(
        user: &core_v1::User,
        groups: &[core_v1::Group],
        session: &core_v1::Session,
        device: Option<&core_v1::Device>,
    ) -> Self {
        let background = Background::new(user, groups, None, device);
        Self::of(Arc::new(background), session, session)
    }

    /// Of a Session that shares its background with others. Brings the Policies of `session`; `ctx.session` is
    /// `shown`, which may have those of the background's Credential added.
    pub fn of(
        background: Arc<Background>,
        session: &core_v1::Session,
        shown: &core_v1::Session,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, 2, &*domain::session::as_proved(shown));
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

    /// The Session, with the times at which its tokens were issued.
    ///
    /// # Errors
    /// Never: it is read from what was encoded here.
    pub fn session(&self) -> Result<core_v1::Session, prost::DecodeError> {
        let context = core_v1::RequestContext::decode(self.session.bytes())?;
        let mut session = context.session.unwrap_or_default();
        if let Some(times) = &self.issue_times {
            domain::session::set_issue_times(&mut session, times);
        }
        Ok(session)
    }

    /// Memory that this takes by itself, in bytes: without the background.
    pub fn weight(&self) -> usize {
        let own = self.attachments.as_ref().map(|own| own.weight());
        let times = self.issue_times.as_deref().map(size_of_val);
        size_of::<Self>() - size_of::<Document>()
            + self.session.weight()
            + own.unwrap_or(0)
            + times.unwrap_or(0)
    }
}

/// The documents of a request, by the number of their layout.
pub(crate) fn documents<'a>(
    subject: Option<&'a Subject>,
    target: &'a Target,
) -> [Option<&'a Document>; DOCUMENTS] {
    [
        subject.map(|subject| &subject.background.document),
        Some(&target.document),
        subject.map(|subject| &subject.session),
    ]
}

/// What is asked for: the part of `ctx` and the Policies that a Service brings.
pub struct Target {
    pub(crate) document: Document,
    pub(crate) attachments: Attachments,
}

impl Target {
    /// Takes what Policies may read from the resources, which may then change.
    pub fn new(
        service: &core_v1::Service,
        namespace: &core_v1::Namespace,
        cluster: Option<&core_v1::ClusterConfig>,
    ) -> Self {
        let mut bytes = Vec::new();
        put(&mut bytes, 6, service);
        put(&mut bytes, 7, namespace);
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
