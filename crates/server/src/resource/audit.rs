//! Reads audit events.

use api::{
    core_v1::User,
    meta_v1::ObjectReference,
    platform_v1::{AuditEventList, ListAuditEventOptions},
};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{AuditQuery, Listing};

use super::{metadata, read::Paging, write::parse_uid};
use crate::{Context, Error, document::load};

/// Returns one page of audit events, newest first.
///
/// # Errors
/// Returns `InvalidArgument` if an option is invalid, and `NotFound` if the page, User or resource does not exist.
pub async fn list(
    context: &Context,
    options: &ListAuditEventOptions,
) -> Result<AuditEventList, Error> {
    let order_by = options.common.as_ref().and_then(|common| common.order_by);
    if order_by.is_some_and(|order| order.r#type != 0) {
        return Err(Error::invalid(
            "common.orderBy is not supported for audit events: they are sorted newest first",
        ));
    }
    let paging = Paging::new(options.common.as_ref())?;
    let user = match &options.user_ref {
        Some(reference) => Some(user(context, reference).await?),
        None => None,
    };
    let resource = match &options.resource_ref {
        Some(reference) => Some(resource(context, reference).await?),
        None => None,
    };
    let instant =
        |timestamp: &Option<prost_types::Timestamp>| timestamp.as_ref().map(UnixMillis::from_proto);
    let query = AuditQuery {
        user,
        resource,
        event_type: Some(options.r#type.clone()).filter(|r#type| !r#type.is_empty()),
        since: instant(&options.since),
        until: instant(&options.until),
        ..AuditQuery::default()
    };
    let bounds = paging.find(context, Listing::Audit(query.clone())).await?;
    let query = AuditQuery {
        offset: bounds.offset,
        limit: bounds.limit,
        ..query
    };
    let (items, total) = context.store.audit(query).await?;
    let meta = paging.meta(bounds, items.len(), total)?;
    Ok(AuditEventList {
        api_version: "platform/v1".to_owned(),
        kind: "AuditEventList".to_owned(),
        items,
        list_response_meta: Some(meta),
    })
}

/// Resolves a User reference. A uid is not looked up, because events outlive their User.
pub(super) async fn user(context: &Context, reference: &ObjectReference) -> Result<Uid, Error> {
    if !reference.uid.is_empty() {
        return parse_uid(&reference.uid);
    }
    let name = &reference.name;
    metadata::check_lengths(Kind::User, name, "")?;
    let found = load::by_name::<User>(&*context.store, name, context.now()).await?;
    let found = found.ok_or_else(|| Error::not_found(Kind::User, name))?;
    Ok(found.uid)
}

async fn resource(context: &Context, reference: &ObjectReference) -> Result<Uid, Error> {
    if !reference.uid.is_empty() {
        return parse_uid(&reference.uid);
    }
    let kind: Kind = reference
        .kind
        .parse()
        .map_err(|_| Error::invalid("resourceRef must have a uid, or a kind and a name"))?;
    metadata::check_lengths(kind, &reference.name, "")?;
    let name = match kind {
        Kind::Service => domain::name::service_full_name(&reference.name),
        _ => reference.name.clone(),
    };
    let store = &context.store;
    let found = store.get_by_name(kind, &name, context.now()).await?;
    found
        .map(|document| document.uid)
        .ok_or_else(|| Error::not_found(kind, name))
}
