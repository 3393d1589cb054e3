//! Get and list.

use std::future::Future;

use api::{
    core_v1 as core,
    meta_v1::{
        CommonListOptions, GetOptions, ListResponseMeta, ObjectReference,
        common_list_options::order_by::{Mode, Type},
    },
    resource::{Listed, Object as _},
};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Bounds, Document, Listing, Order, Pages, Query};

use super::{
    metadata,
    write::{Managed, parse_uid},
};
use crate::{
    Context, Error, ErrorKind,
    document::{
        codec::{self, Resource, Stored},
        load,
    },
};

const DEFAULT_ITEMS: u32 = 200;
const MOST_ITEMS: u32 = 1000;
const LAST_PAGE: u32 = 10_000;
/// Maximum encoded size of the stored items of a page in bytes. Replies add less than 512 bytes per item, so a page
/// stays below 3.5 MiB.
const PAGE_BYTES: u64 = codec::MOST_BYTES as u64;

/// A kind that clients can read.
pub trait Readable: Managed {
    /// Adds state that is stored outside the document.
    fn decorate(
        _context: &Context,
        _items: &mut [Stored<Self>],
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

impl Readable for core::Policy {}
impl Readable for core::IdentityProvider {}
impl Readable for core::Namespace {}
impl Readable for core::Group {}
impl Readable for core::User {}
impl Readable for core::Service {}
impl Readable for core::Secret {}
impl Readable for core::Config {}
impl Readable for core::ClusterConfig {}
impl Readable for core::Session {}
impl Readable for core::Device {}
impl Readable for core::Authenticator {}
impl Readable for core::Region {}
impl Readable for core::Gateway {}

impl Readable for core::Credential {
    /// Adds the uses that are counted in batches outside the document.
    async fn decorate(context: &Context, items: &mut [Stored<Self>]) -> Result<(), Error> {
        let uids: Vec<Uid> = items.iter().map(|item| item.uid).collect();
        let usage = context.store.usage(&uids).await?;
        for item in items {
            let Some(usage) = usage.get(&item.uid) else {
                continue;
            };
            let status = item.message.status_mut();
            let count = u32::try_from(usage.count).unwrap_or(u32::MAX);
            status.total_authentications = status.total_authentications.saturating_add(count);
            let last = status.last_used_at.as_ref().map(UnixMillis::from_proto);
            if last.is_none_or(|last| last < usage.last_at) {
                status.last_used_at = Some(usage.last_at.to_proto());
            }
        }
        Ok(())
    }
}

/// Returns one resource by name, or by uid if the name is empty.
///
/// # Errors
/// Returns `NotFound` if it does not exist, and `InvalidArgument` if name and uid are missing or malformed.
pub async fn get<T: Readable>(context: &Context, which: &GetOptions) -> Result<T, Error> {
    let (found, label) = if which.name.is_empty() {
        let uid = parse_uid(&which.uid)?;
        let found = load::by_uid::<T>(&*context.store, uid, context.now()).await?;
        (found, uid.to_string())
    } else {
        let name = T::stored_name(&which.name);
        metadata::check_stored_name(&name)?;
        let found = load::by_name::<T>(&*context.store, &name, context.now()).await?;
        (found, name)
    };
    let mut found = found.ok_or_else(|| Error::not_found(T::DOCUMENT, label))?;
    T::decorate(context, std::slice::from_mut(&mut found)).await?;
    Ok(found.message)
}

/// Returns one page of the resources with an index entry, or of all resources.
///
/// # Errors
/// Returns `NotFound` if the page is past the end, and `InvalidArgument` if the page number is too high.
pub async fn list<T: Readable + Listed>(
    context: &Context,
    common: Option<&CommonListOptions>,
    index: Option<(&'static str, String)>,
) -> Result<T::List, Error> {
    let (mut items, meta) = page::<T>(context, common, index).await?;
    T::decorate(context, &mut items).await?;
    let items = items.into_iter().map(|item| item.message).collect();
    Ok(T::list(items, meta))
}

/// Like [`list`], but returns the stored resources and the list metadata.
///
/// # Errors
/// Returns `NotFound` if the page is past the end, and `InvalidArgument` if the page number is too high.
pub async fn page<T: Resource>(
    context: &Context,
    common: Option<&CommonListOptions>,
    index: Option<(&'static str, String)>,
) -> Result<(Vec<Stored<T>>, ListResponseMeta), Error> {
    let (documents, meta) = documents(context, common, T::DOCUMENT, index).await?;
    let items: Result<Vec<_>, _> = documents.iter().map(codec::decode).collect();
    Ok((items?, meta))
}

/// Returns one page of the documents of a kind, and the list metadata.
///
/// # Errors
/// Returns `NotFound` if the page is past the end, and `InvalidArgument` if the page number is too high.
pub async fn documents(
    context: &Context,
    common: Option<&CommonListOptions>,
    kind: Kind,
    index: Option<(&'static str, String)>,
) -> Result<(Vec<Document>, ListResponseMeta), Error> {
    let paging = Paging::new(common)?;
    let query = Query {
        kind,
        index,
        order: paging.order,
        offset: 0,
        limit: 0,
        now: context.now(),
    };
    let bounds = paging
        .find(context, Listing::Documents(query.clone()))
        .await?;
    let page = context
        .store
        .list(Query {
            offset: bounds.offset,
            limit: bounds.limit,
            ..query
        })
        .await?;
    let meta = paging.meta(bounds, page.documents.len(), page.total)?;
    Ok((page.documents, meta))
}

/// The requested part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// Page number, starting at 0.
    pub page: u32,
    /// Items per page, 1 to 1000.
    pub items: u32,
    /// Sort order.
    pub order: Order,
}

impl Paging {
    /// Validates list options and fills in defaults.
    ///
    /// # Errors
    /// Returns `InvalidArgument` if the page number is too high.
    pub fn new(common: Option<&CommonListOptions>) -> Result<Self, Error> {
        let common = common.copied().unwrap_or_default();
        if common.page > LAST_PAGE {
            return Err(Error::invalid("Page number is too high"));
        }
        let items = match common.items_per_page {
            0 => DEFAULT_ITEMS,
            items => items.min(MOST_ITEMS),
        };
        let order_by = common.order_by.unwrap_or_default();
        let is_descending = order_by.mode() == Mode::Desc;
        let order = match (order_by.r#type(), is_descending) {
            (Type::Name, false) => Order::Name,
            (Type::Name, true) => Order::NameDescending,
            (Type::CreatedAt, true) => Order::CreatedDescending,
            // Without a type the mode is ignored.
            (Type::CreatedAt, false) | (Type::Unset, _) => Order::Created,
        };
        Ok(Self {
            page: common.page,
            items,
            order,
        })
    }

    /// Finds the page in `listing`. A page ends before it exceeds [`PAGE_BYTES`], so that clients with the default
    /// limit of gRPC libraries (4 MiB) can read it. The next page continues there.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Internal` if the store fails.
    pub async fn find(self, context: &Context, listing: Listing) -> Result<Bounds, Error> {
        let pages = Pages {
            page: self.page,
            items: self.items,
            bytes: PAGE_BYTES,
        };
        Ok(context.store.bounds(listing, pages).await?)
    }

    /// Returns the list metadata of a page at `bounds` with `count` of `total` items.
    ///
    /// # Errors
    /// Returns `NotFound` if the page is past the end.
    pub fn meta(self, bounds: Bounds, count: usize, total: u64) -> Result<ListResponseMeta, Error> {
        if count == 0 && self.page > 0 {
            return Err(Error::new(
                ErrorKind::NotFound,
                "Not Items found for that page",
            ));
        }
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let end = bounds.offset.saturating_add(count);
        Ok(ListResponseMeta {
            page: self.page,
            items_per_page: self.items,
            total_count: u32::try_from(total).unwrap_or(u32::MAX),
            has_more: end < total,
        })
    }
}

/// Resolves a reference to the index entry that filters a list. Returns `None` without a reference.
///
/// # Errors
/// Returns `NotFound` if the referenced resource does not exist, and `InvalidArgument` if the reference is malformed.
pub async fn filter<T: Readable>(
    context: &Context,
    index: &'static str,
    reference: Option<&ObjectReference>,
) -> Result<Option<(&'static str, String)>, Error> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let which = GetOptions {
        uid: reference.uid.clone(),
        name: reference.name.clone(),
    };
    let found = get::<T>(context, &which).await?;
    Ok(Some((index, found.uid().to_owned())))
}

#[cfg(test)]
mod tests {
    use api::meta_v1::common_list_options::OrderBy;
    use proptest::prelude::*;

    use super::*;

    fn options(page: u32, items: u32, r#type: i32, mode: i32) -> CommonListOptions {
        CommonListOptions {
            page,
            items_per_page: items,
            order_by: Some(OrderBy { r#type, mode }),
        }
    }

    #[test]
    fn the_defaults_are_those_that_clients_expect() {
        let paging = Paging::new(None).unwrap();
        assert_eq!((paging.page, paging.items), (0, 200));
        assert_eq!(paging.order, Order::Created);
        let empty = Bounds {
            offset: 0,
            limit: 0,
        };
        let meta = paging.meta(empty, 0, 0).unwrap();
        assert!(!meta.has_more && meta.total_count == 0);
        // Clients send DESC without a type.
        assert_eq!(
            Paging::new(Some(&options(0, 0, 0, 2))).unwrap().order,
            Order::Created
        );
        assert_eq!(
            Paging::new(Some(&options(0, 5000, 1, 2))).unwrap().items,
            1000
        );
    }

    #[test]
    fn a_page_past_the_end_is_not_found() {
        let error = Paging::new(Some(&options(1, 10, 0, 0)))
            .unwrap()
            .meta(
                Bounds {
                    offset: 10,
                    limit: 0,
                },
                0,
                10,
            )
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Paging::new(Some(&options(10_001, 0, 0, 0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    proptest! {
        #[test]
        fn a21_whatever_the_numbers_say_a_page_is_within_bounds(
            page: u32, items: u32, r#type: i32, mode: i32, total in 0_u64..100_000,
        ) {
            let Ok(paging) = Paging::new(Some(&options(page, items, r#type, mode))) else {
                prop_assert!(page > LAST_PAGE);
                return Ok(());
            };
            prop_assert!((1..=MOST_ITEMS).contains(&paging.items));
            let offset = u64::from(paging.page) * u64::from(paging.items);
            let count = total.saturating_sub(offset).min(u64::from(paging.items));
            let bounds = Bounds { offset, limit: u32::try_from(count).unwrap() };
            if let Ok(meta) = paging.meta(bounds, usize::try_from(count).unwrap(), total) {
                prop_assert_eq!(meta.has_more, offset + count < total);
            }
        }
    }
}
