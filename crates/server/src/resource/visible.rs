//! Services and Namespaces as Users see them.

use api::{
    core_v1 as core,
    meta_v1::{DualStackIp, GetOptions, Metadata},
    resource::Object as _,
    user_v1 as user,
};

use super::{
    metadata,
    read::{self, page},
    write::{Managed as _, parse_uid},
};
use crate::{
    Context, Error,
    document::{codec::Resource, index, load},
};

const API_VERSION: &str = "user/v1";

/// Returns one page of the Services that are not hidden from Users.
///
/// # Errors
/// Returns `NotFound` if the page or the Namespace does not exist.
pub async fn list_services(
    context: &Context,
    options: &user::ListServiceOptions,
) -> Result<user::ServiceList, Error> {
    let namespace = match options.namespace.as_str() {
        "" => None,
        name => Some(namespace(context, name).await?),
    };
    let mode = Some(options.r#type).filter(|mode| *mode != 0);
    let key = index::listed_key(namespace.as_ref().map(api::resource::Object::uid), mode);
    let common = options.common.as_ref();
    let (items, meta) = page::<core::Service>(context, common, Some((index::LISTED, key))).await?;
    Ok(user::ServiceList {
        api_version: API_VERSION.to_owned(),
        kind: "ServiceList".to_owned(),
        items: items
            .into_iter()
            .map(|item| service(item.message))
            .collect(),
        list_response_meta: Some(meta),
    })
}

/// Returns one page of the Namespaces that are not hidden from Users.
///
/// # Errors
/// Returns `NotFound` if the page does not exist.
pub async fn list_namespaces(
    context: &Context,
    options: &user::ListNamespaceOptions,
) -> Result<user::NamespaceList, Error> {
    let index = (index::LISTED, index::listed_key(None, None));
    let common = options.common.as_ref();
    let (items, meta) = page::<core::Namespace>(context, common, Some(index)).await?;
    let namespace = |namespace: core::Namespace| user::Namespace {
        api_version: API_VERSION.to_owned(),
        kind: "Namespace".to_owned(),
        metadata: Some(shown(namespace.metadata())),
        spec: Some(user::namespace::Spec::default()),
        status: Some(user::namespace::Status::default()),
    };
    Ok(user::NamespaceList {
        api_version: API_VERSION.to_owned(),
        kind: "NamespaceList".to_owned(),
        items: items
            .into_iter()
            .map(|item| namespace(item.message))
            .collect(),
        list_response_meta: Some(meta),
    })
}

/// Returns one Service, unless it is hidden from Users.
///
/// # Errors
/// Returns `NotFound` if the Service does not exist or is hidden, and `InvalidArgument` if name and uid are missing or
/// malformed.
pub async fn get_service(context: &Context, which: &GetOptions) -> Result<user::Service, Error> {
    let store = &*context.store;
    let (found, label) = if which.name.is_empty() {
        let uid = parse_uid(&which.uid)?;
        (
            load::by_uid::<core::Service>(store, uid, context.now()).await?,
            uid.to_string(),
        )
    } else {
        let name = core::Service::stored_name(&which.name);
        metadata::check_stored_name(&name)?;
        (
            load::by_name::<core::Service>(store, &name, context.now()).await?,
            name,
        )
    };
    let found = found.filter(|found| !is_hidden(found.message.metadata()));
    let found = found.ok_or_else(|| Error::not_found(core::Service::DOCUMENT, label))?;
    Ok(service(found.message))
}

async fn namespace(context: &Context, name: &str) -> Result<core::Namespace, Error> {
    let which = GetOptions {
        name: name.to_owned(),
        ..GetOptions::default()
    };
    let found = read::get::<core::Namespace>(context, &which).await?;
    if is_hidden(found.metadata()) {
        return Err(Error::not_found(core::Namespace::DOCUMENT, name));
    }
    Ok(found)
}

fn service(service: core::Service) -> user::Service {
    let metadata = shown(service.metadata());
    let spec = service.spec.unwrap_or_default();
    let status = service.status.unwrap_or_default();
    let addresses = status
        .addresses
        .into_iter()
        .filter_map(|address| address.dual_stack_ip);
    let addresses = addresses.flat_map(|DualStackIp { ipv4, ipv6 }| [ipv4, ipv6]);
    user::Service {
        api_version: API_VERSION.to_owned(),
        kind: "Service".to_owned(),
        metadata: Some(metadata),
        spec: Some(user::service::Spec {
            port: status.port,
            // Both enums have the same numbers.
            r#type: spec.mode,
            is_tls: spec.is_tls,
            is_public: spec.is_public,
        }),
        status: Some(user::service::Status {
            namespace: status.namespace_ref.map(|to| to.name).unwrap_or_default(),
            addresses: addresses.filter(|address| !address.is_empty()).collect(),
            primary_hostname: status.primary_hostname,
        }),
    }
}

/// Returns the metadata fields that Users of the object may see.
pub fn shown(metadata: Option<&Metadata>) -> Metadata {
    let metadata = metadata.cloned().unwrap_or_default();
    Metadata {
        uid: metadata.uid,
        name: metadata.name,
        created_at: metadata.created_at,
        display_name: metadata.display_name,
        description: metadata.description,
        pic_url: metadata.pic_url,
        ..Metadata::default()
    }
}

fn is_hidden(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.is_user_hidden || metadata.is_system_hidden)
}
