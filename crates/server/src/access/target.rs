//! The object of a call, available to Policies as `ctx.request.grpc.target`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use api::core_v1::{
    Authenticator, ClusterConfig, Credential, Device, Group, Service, Session, User,
    request_context::request::grpc::Target, user,
};
use domain::{id::Uid, kind::Kind};
use prost::Message as _;
use prost_reflect::MethodDescriptor;
use store::Document;

use super::wire::{self, Malformed, Path};
use crate::{
    Context, Error,
    budget::MESSAGE,
    document::{codec, load},
    resource::{
        authorization::{Attached, Authorized as _},
        metadata,
        write::Managed as _,
    },
};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod agreement;

/// The maximum size, in bytes, of a request that only names a stored object.
const MAX_NAMING_BYTES: usize = 16 * 1024;
/// The maximum size, in bytes, of a User that is created. The target holds the whole User, which is decoded before the
/// call is authorized.
const MAX_USER_BYTES: usize = 256 * 1024;
/// The maximum number of Policies, or of Groups, of an object that is sent. The API accepts the same number.
const MAX_NAMES: usize = 1000;

/// The form in which the request of a method identifies its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The request is a resource that does not exist yet.
    New(Kind),
    /// The request is a resource that exists.
    Resource(Kind),
    /// The request has a name and a uid.
    Options(Kind),
    /// The request has an `ObjectReference` in the named field.
    Reference(Kind, &'static str),
}

impl Naming {
    /// Returns the kind of the object.
    fn kind(self) -> Kind {
        match self {
            Self::New(kind)
            | Self::Resource(kind)
            | Self::Options(kind)
            | Self::Reference(kind, _) => kind,
        }
    }
}

/// A method whose calls have an object.
struct Method {
    naming: Naming,
    name: Path,
    uid: Path,
    /// The name of the owner.
    user: Path,
    policies: Path,
    inline_policies: Path,
    groups: Path,
}

/// The parts of a request that identify its object, and those that grant it permissions.
struct RequestedObject {
    name: String,
    uid: String,
    user: String,
    power: Power,
    groups: Vec<String>,
}

impl RequestedObject {
    /// Checks the lengths of all names and of the uid.
    fn check_lengths(&self, kind: Kind) -> Result<(), Error> {
        metadata::check_lengths(kind, &self.name, &self.uid)?;
        metadata::check_lengths(Kind::User, &self.user, "")?;
        for group in &self.groups {
            metadata::check_lengths(Kind::Group, group, "")?;
        }
        for policy in &self.power.policies {
            metadata::check_lengths(Kind::Policy, policy, "")?;
        }
        Ok(())
    }
}

/// The Policies of an object, of its User and of the User's Groups.
#[derive(Default)]
struct Power {
    policies: BTreeSet<String>,
    inline: usize,
}

impl Power {
    fn add(&mut self, attached: Attached<'_>) {
        self.policies.extend(attached.policies.iter().cloned());
        self.inline += attached.inline.len();
    }

    fn add_groups(&mut self, groups: &[Arc<Group>]) {
        for group in groups {
            self.add(group.attached());
        }
    }
}

/// Returns the encoded target of a call, for [`policy::Grpc::target`]. It is empty if the call has no single object.
///
/// # Errors
/// * `InvalidArgument` if the message cannot be decoded, or if a name or the uid is too long.
/// * `NotFound` if name and uid belong to different objects.
/// * `Unavailable` or `Internal` if the store cannot be read.
pub(crate) async fn of(ctx: &Context, path: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(method) = METHODS.get(path) else {
        return Ok(Vec::new());
    };
    let sent = method.read(message).map_err(|Malformed| unreadable())?;
    sent.check_lengths(method.naming.kind())?;
    let target = match method.naming {
        Naming::New(kind) => created(ctx, kind, sent, message).await?,
        Naming::Resource(kind) => existing(ctx, kind, sent, Trust::Name).await?,
        Naming::Options(kind) | Naming::Reference(kind, _) => {
            existing(ctx, kind, sent, Trust::Both).await?
        }
    };
    Ok(target.encode_to_vec())
}

/// Returns whether calls of a method have an object and are authorized after their message was read.
pub(super) fn has_object(path: &str) -> bool {
    METHODS.contains_key(path)
}

/// Returns the maximum size of a message, in bytes, for a method that has an object.
pub(super) fn max_bytes(path: &str) -> usize {
    match METHODS.get(path).map(|method| method.naming) {
        Some(Naming::New(Kind::User)) => MAX_USER_BYTES,
        Some(Naming::New(_) | Naming::Resource(_)) => MESSAGE,
        Some(Naming::Options(_) | Naming::Reference(..)) | None => MAX_NAMING_BYTES,
    }
}

fn unreadable() -> Error {
    Error::invalid("The request cannot be decoded")
}

/// Returns the target of a call that creates an object. An object already stored with the same name is ignored.
async fn created(
    ctx: &Context,
    kind: Kind,
    sent: RequestedObject,
    message: &[u8],
) -> Result<Target, Error> {
    let RequestedObject {
        name,
        user,
        mut power,
        groups,
        ..
    } = sent;
    power.add_groups(&groups_named(ctx, groups).await?);
    let user = match kind {
        Kind::User if message.len() <= MAX_USER_BYTES => {
            Some(User::decode(message).map_err(|_| unreadable())?)
        }
        Kind::User => return Err(unreadable()),
        Kind::Credential => owner_named(ctx, &user, &mut power).await?,
        _ => None,
    };
    Ok(target(kind, name, String::new(), user, power))
}

fn target(kind: Kind, name: String, uid: String, user: Option<User>, power: Power) -> Target {
    Target {
        kind: kind.as_str().to_owned(),
        name,
        uid,
        user,
        policies: power.policies.into_iter().collect(),
        inline_policies: i32::try_from(power.inline).unwrap_or(i32::MAX),
    }
}

/// The identifier that takes precedence if a request has both a name and a uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The name. The uid of an updated resource is only the one that the client read last.
    Name,
    /// Both. They must identify the same object.
    Both,
}

/// Returns the target of a call about a stored object. If the object does not exist, the target has no User.
async fn existing(
    ctx: &Context,
    kind: Kind,
    sent: RequestedObject,
    trust: Trust,
) -> Result<Target, Error> {
    let Some(document) = find(ctx, kind, &sent).await? else {
        return Ok(target(kind, sent.name, sent.uid, None, sent.power));
    };
    let uid = document.uid.to_string();
    if trust == Trust::Both && !sent.uid.is_empty() && sent.uid != uid {
        return Err(Error::not_found(kind, &sent.uid));
    }
    let mut power = sent.power;
    power.add_groups(&groups_named(ctx, sent.groups).await?);
    let user = owner(ctx, kind, &document, &mut power).await?;
    Ok(target(kind, document.name, uid, user, power))
}

async fn find(
    ctx: &Context,
    kind: Kind,
    sent: &RequestedObject,
) -> Result<Option<Document>, Error> {
    let now = ctx.now();
    if sent.name.is_empty() {
        let Ok(uid) = sent.uid.parse::<Uid>() else {
            return Ok(None);
        };
        return Ok(ctx.store.get(kind, uid, now).await?);
    }
    let name = match kind {
        Kind::Service => Service::stored_name(&sent.name),
        Kind::ClusterConfig => ClusterConfig::stored_name(&sent.name),
        _ => sent.name.clone(),
    };
    Ok(ctx.store.get_by_name(kind, &name, now).await?)
}

/// Returns the User that owns a stored object, or the User that is the object. Adds the Policies of the object and of
/// the User.
async fn owner(
    ctx: &Context,
    kind: Kind,
    document: &Document,
    power: &mut Power,
) -> Result<Option<User>, Error> {
    let reference = match kind {
        Kind::User => {
            let user = codec::decode::<User>(document)?.message;
            add_user(ctx, &user, power).await?;
            return Ok(Some(user));
        }
        Kind::Group => {
            power.add(codec::decode::<Group>(document)?.message.attached());
            None
        }
        Kind::Credential => {
            let credential = codec::decode::<Credential>(document)?.message;
            power.add(credential.attached());
            credential.status.and_then(|status| status.user_ref)
        }
        Kind::Session => {
            let session = codec::decode::<Session>(document)?.message;
            power.add(session.attached());
            session.status.and_then(|status| status.user_ref)
        }
        Kind::Device => {
            let device = codec::decode::<Device>(document)?.message;
            power.add(device.attached());
            device.status.and_then(|status| status.user_ref)
        }
        Kind::Authenticator => {
            let one = codec::decode::<Authenticator>(document)?.message;
            one.status.and_then(|status| status.user_ref)
        }
        _ => None,
    };
    let Some(Ok(uid)) = reference.map(|reference| reference.uid.parse::<Uid>()) else {
        return Ok(None);
    };
    let Some(user) = load::by_uid::<User>(&*ctx.store, uid, ctx.now()).await? else {
        return Ok(None);
    };
    add_user(ctx, &user.message, power).await?;
    Ok(Some(user.message))
}

/// Returns the User with this name, and adds its Policies.
async fn owner_named(ctx: &Context, name: &str, power: &mut Power) -> Result<Option<User>, Error> {
    let Some(user) = load::by_name::<User>(&*ctx.store, name, ctx.now()).await? else {
        return Ok(None);
    };
    add_user(ctx, &user.message, power).await?;
    Ok(Some(user.message))
}

async fn add_user(ctx: &Context, user: &User, power: &mut Power) -> Result<(), Error> {
    power.add(user.attached());
    // If a Group is missing, all calls of the User are refused.
    if let Some(groups) = ctx.directory.groups(user, ctx.now()).await? {
        for (_, group) in groups {
            power.add(group.attached());
        }
    }
    Ok(())
}

/// Returns the Groups that the request assigns to a User.
///
/// # Errors
/// Returns `InvalidArgument` if a Group does not exist: it could be created with Policies before the call is carried
/// out.
async fn groups_named(ctx: &Context, names: Vec<String>) -> Result<Vec<Arc<Group>>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let user = User {
        spec: Some(user::Spec {
            groups: names,
            ..user::Spec::default()
        }),
        ..User::default()
    };
    let groups = ctx.directory.groups(&user, ctx.now()).await?;
    let groups = groups.ok_or_else(|| Error::invalid("A Group in spec.groups does not exist"))?;
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

impl Method {
    fn new(method: &MethodDescriptor, naming: Naming) -> Self {
        let input = method.input();
        let path = |names: &[&str]| wire::path(&input, names);
        let (name, uid) = match naming {
            Naming::New(_) | Naming::Resource(_) => {
                (path(&["metadata", "name"]), path(&["metadata", "uid"]))
            }
            Naming::Options(_) => (path(&["name"]), path(&["uid"])),
            Naming::Reference(_, field) => (path(&[field, "name"]), path(&[field, "uid"])),
        };
        // The Policies of a Service or Namespace decide who can reach it. They grant it no permissions.
        let has_power = matches!(
            naming,
            Naming::New(kind) | Naming::Resource(kind) if matches!(
                kind,
                Kind::User | Kind::Group | Kind::Credential | Kind::Session | Kind::Device
            )
        );
        let of_spec = |names: &[&str]| {
            if has_power { path(names) } else { Path::new() }
        };
        Self {
            naming,
            name,
            uid,
            user: of_spec(&["spec", "user"]),
            policies: of_spec(&["spec", "authorization", "policies"]),
            inline_policies: of_spec(&["spec", "authorization", "inlinePolicies"]),
            groups: of_spec(&["spec", "groups"]),
        }
    }

    fn read(&self, message: &[u8]) -> Result<RequestedObject, Malformed> {
        let policies = wire::texts(message, &self.policies, MAX_NAMES)?;
        Ok(RequestedObject {
            name: wire::text(message, &self.name)?,
            uid: wire::text(message, &self.uid)?,
            user: wire::text(message, &self.user)?,
            power: Power {
                policies: policies.into_iter().collect(),
                inline: wire::count(message, &self.inline_policies)?,
            },
            groups: wire::texts(message, &self.groups, MAX_NAMES)?,
        })
    }
}

/// The methods whose calls have an object, by path.
static METHODS: LazyLock<BTreeMap<String, Method>> = LazyLock::new(|| {
    let services = api::reflect::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let named = methods.filter_map(|method| {
        let naming = naming(&method)?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        Some((path, Method::new(&method, naming)))
    });
    named.collect()
});

/// Returns `None` for a method whose calls have no object or more than one.
fn naming(method: &MethodDescriptor) -> Option<Naming> {
    let name = method.name();
    match (method.parent_service().full_name(), name) {
        ("octelium.api.main.core.v1.MainService", "GenerateCredentialToken")
        | ("octelium.platform.v1.MainService", "RotateCredential") => {
            Some(Naming::Reference(Kind::Credential, "credentialRef"))
        }
        ("octelium.platform.v1.MainService", "CreateEnrollment" | "ResetAuthenticators") => {
            Some(Naming::Reference(Kind::User, "userRef"))
        }
        ("octelium.api.main.core.v1.MainService", _) => core(name),
        _ => None,
    }
}

/// Parses method names such as `CreateUser`, `UpdateUser`, `GetUser` and `DeleteUser`.
fn core(name: &str) -> Option<Naming> {
    let kind = |verb| name.strip_prefix(verb)?.parse::<Kind>().ok();
    if let Some(kind) = kind("Create") {
        return Some(Naming::New(kind));
    }
    if let Some(kind) = kind("Update") {
        return Some(Naming::Resource(kind));
    }
    let kind = kind("Get").or_else(|| kind("Delete"))?;
    Some(Naming::Options(kind))
}
