//! Reads access events.

use api::{
    core_v1::Service,
    platform_v1::{AccessEventList, ListAccessEventOptions, access_event::Decision},
};
use domain::{clock::UnixMillis, kind::Kind};
use store::{AccessQuery, Listing};

use super::{audit, metadata, read::Paging, write::parse_uid};
use crate::{Context, Error, document::load};

/// Returns one page of access events, newest first.
///
/// # Errors
/// Returns `InvalidArgument` if an option is invalid, and `NotFound` if the page, User or Service does not exist.
pub async fn list(
    context: &Context,
    options: &ListAccessEventOptions,
) -> Result<AccessEventList, Error> {
    let order_by = options.common.as_ref().and_then(|common| common.order_by);
    if order_by.is_some_and(|order| order.r#type != 0) {
        return Err(Error::invalid(
            "common.orderBy is not supported for access events: they are sorted newest first",
        ));
    }
    let paging = Paging::new(options.common.as_ref())?;
    let user = match &options.user_ref {
        Some(reference) => Some(audit::user(context, reference).await?),
        None => None,
    };
    let service = match &options.service_ref {
        None => None,
        Some(reference) if !reference.uid.is_empty() => Some(parse_uid(&reference.uid)?),
        Some(reference) => {
            metadata::check_lengths(Kind::Service, &reference.name, "")?;
            let name = domain::name::service_full_name(&reference.name);
            let found = load::by_name::<Service>(&*context.store, &name, context.now()).await?;
            let found = found.ok_or_else(|| Error::not_found(Kind::Service, name))?;
            Some(found.uid)
        }
    };
    let decision =
        Decision::try_from(options.decision).map_err(|_| Error::invalid("decision is unknown"))?;
    let instant =
        |timestamp: &Option<prost_types::Timestamp>| timestamp.as_ref().map(UnixMillis::from_proto);
    let query = AccessQuery {
        user,
        service,
        decision: Some(decision).filter(|decision| *decision != Decision::Unknown),
        since: instant(&options.since),
        until: instant(&options.until),
        ..AccessQuery::default()
    };
    let bounds = paging.find(context, Listing::Access(query.clone())).await?;
    let query = AccessQuery {
        offset: bounds.offset,
        limit: bounds.limit,
        ..query
    };
    let (items, total) = context.store.access(query).await?;
    let meta = paging.meta(bounds, items.len(), total)?;
    Ok(AccessEventList {
        api_version: "platform/v1".to_owned(),
        kind: "AccessEventList".to_owned(),
        items,
        list_response_meta: Some(meta),
    })
}
