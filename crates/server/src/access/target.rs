//! The object of a call, available to Policies as `ctx.request.grpc.target`.

use std::{collections::BTreeMap, sync::LazyLock};

use api::{
    core_v1::{ClusterConfig, Service, User, request_context::request::grpc::Target},
    platform_v1::resource::Resource as Body,
};
use domain::{id::Uid, kind::Kind};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use store::Document;

use crate::{
    Context, Error,
    resource::{codec, load, write::Managed as _},
};

/// The way in which the request of a method names its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The request is a resource that does not exist yet.
    New(Kind),
    /// The request is a resource that exists.
    Resource(Kind),
    /// The request has a name and a uid.
    Options(Kind),
    /// The request has an `ObjectReference` in the field of this name.
    Reference(Kind, &'static str),
}

/// Returns the encoded target of a call for [`policy::Grpc::target`]. It is empty if the call has no single object.
///
/// # Errors
/// * `InvalidArgument` if the message cannot be decoded.
/// * `NotFound` if name and uid belong to different objects.
/// * `Unavailable` or `Internal` if the store cannot be read.
pub(crate) async fn of(ctx: &Context, path: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    let Some((method, naming)) = METHODS.get(path) else {
        return Ok(Vec::new());
    };
    let decoded = || {
        DynamicMessage::decode(method.input(), message)
            .map_err(|_| Error::invalid("The request cannot be read"))
    };
    let target = match *naming {
        Naming::New(kind) => created(ctx, kind, &decoded()?).await?,
        Naming::Resource(kind) => {
            let named = Named::of(field(&decoded()?, "metadata").as_ref());
            existing(ctx, kind, named, Trust::Name).await?
        }
        Naming::Options(kind) => {
            existing(ctx, kind, Named::of(Some(&decoded()?)), Trust::Both).await?
        }
        Naming::Reference(kind, name) => {
            let named = Named::of(field(&decoded()?, name).as_ref());
            existing(ctx, kind, named, Trust::Both).await?
        }
    };
    Ok(target.encode_to_vec())
}

/// Returns whether calls of a method have an object and are authorized with their message.
pub(super) fn has_object(path: &str) -> bool {
    METHODS.contains_key(path)
}

/// Returns the target of a call that creates `sent`. A stored object with the same name is not the target.
async fn created(ctx: &Context, kind: Kind, sent: &DynamicMessage) -> Result<Target, Error> {
    let metadata = field(sent, "metadata");
    let named = Named::of(metadata.as_ref());
    let user = match kind {
        Kind::User => Some(sent.transcode_to::<User>().map_err(Error::internal)?),
        Kind::Credential => {
            let spec = field(sent, "spec");
            let name = spec.as_ref().map(|spec| text(spec, "user"));
            user_by_name(ctx, &name.unwrap_or_default()).await?
        }
        _ => None,
    };
    Ok(Target {
        kind: kind.as_str().to_owned(),
        name: named.name,
        uid: String::new(),
        user,
    })
}

/// The identifier that decides if a request has both name and uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The name. The uid of a changed resource is only what the client read last.
    Name,
    /// Both. They must belong to the same object.
    Both,
}

/// Returns the target of a call about a stored object. If the object does not exist, the target has no User.
async fn existing(ctx: &Context, kind: Kind, named: Named, trust: Trust) -> Result<Target, Error> {
    let mut target = Target {
        kind: kind.as_str().to_owned(),
        name: named.name.clone(),
        uid: named.uid.clone(),
        user: None,
    };
    let Some(document) = find(ctx, kind, &named).await? else {
        return Ok(target);
    };
    let uid = document.uid.to_string();
    if trust == Trust::Both && !named.uid.is_empty() && named.uid != uid {
        return Err(Error::not_found(kind, &named.uid));
    }
    target.name.clone_from(&document.name);
    target.uid = uid;
    let resource = codec::decode_any(&document)?;
    target.user = match resource.and_then(|resource| resource.resource) {
        Some(body) => owner(ctx, body).await?,
        None => None,
    };
    Ok(target)
}

async fn find(ctx: &Context, kind: Kind, named: &Named) -> Result<Option<Document>, Error> {
    let now = ctx.now();
    if named.name.is_empty() {
        let Ok(uid) = named.uid.parse::<Uid>() else {
            return Ok(None);
        };
        return Ok(ctx.store.get(kind, uid, now).await?);
    }
    let name = match kind {
        Kind::Service => Service::stored_name(&named.name),
        Kind::ClusterConfig => ClusterConfig::stored_name(&named.name),
        _ => named.name.clone(),
    };
    Ok(ctx.store.get_by_name(kind, &name, now).await?)
}

/// Returns the User that the resource belongs to, or the resource itself if it is a User.
async fn owner(ctx: &Context, body: Body) -> Result<Option<User>, Error> {
    let reference = match body {
        Body::User(user) => return Ok(Some(user)),
        Body::Credential(credential) => credential.status.and_then(|status| status.user_ref),
        Body::Session(session) => session.status.and_then(|status| status.user_ref),
        Body::Device(device) => device.status.and_then(|status| status.user_ref),
        Body::Authenticator(one) => one.status.and_then(|status| status.user_ref),
        _ => None,
    };
    let Some(Ok(uid)) = reference.map(|reference| reference.uid.parse::<Uid>()) else {
        return Ok(None);
    };
    let user = load::by_uid::<User>(&*ctx.store, uid, ctx.now()).await?;
    Ok(user.map(|user| user.message))
}

async fn user_by_name(ctx: &Context, name: &str) -> Result<Option<User>, Error> {
    let user = load::by_name::<User>(&*ctx.store, name, ctx.now()).await?;
    Ok(user.map(|user| user.message))
}

fn field(message: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let value = message.get_field_by_name(name)?;
    value.as_message().cloned()
}

fn text(message: &DynamicMessage, name: &str) -> String {
    let value = message.get_field_by_name(name);
    let text = value.as_deref().and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// The methods whose calls have an object, by path.
static METHODS: LazyLock<BTreeMap<String, (MethodDescriptor, Naming)>> = LazyLock::new(|| {
    let services = api::reflect::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let named = methods.filter_map(|method| {
        let naming = naming(&method)?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        Some((path, (method, naming)))
    });
    named.collect()
});

/// Returns `None` for a method whose calls concern no object or more than one.
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

/// The identifiers of the object in a request.
#[derive(Default)]
struct Named {
    name: String,
    uid: String,
}

impl Named {
    fn of(message: Option<&DynamicMessage>) -> Self {
        message.map_or_else(Self::default, |message| Self {
            name: text(message, "name"),
            uid: text(message, "uid"),
        })
    }
}
