//! Lists of objects of one kind.

use ::api::{
    meta_v1::{
        CommonListOptions, ListResponseMeta, ObjectReference,
        common_list_options::{
            OrderBy,
            order_by::{Mode, Type},
        },
    },
    platform_v1::Resource,
    reflect,
};
use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{clock::UnixMillis, columns, kind::Kind};
use maud::{Markup, html};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use super::{
    Administrator,
    api::{Api, path_of},
    inspect,
    kind::ConsoleKind,
    view,
};
use crate::{
    Context, Error, ErrorKind,
    web::{failure::Failure, form::Fields},
};

const ON_A_PAGE: u32 = 50;
const LONGEST_SEARCH: usize = 100;
/// Batch size of a search. A search reads at most [`READS`] batches.
const READ_AT_ONCE: u32 = 500;
const READS: u32 = 20;

/// Filters and page of a list.
struct ListQuery {
    search: String,
    /// Name of the owner that the list is narrowed to.
    owner: String,
    /// Page number, starting at 1.
    number: u32,
    is_newest_first: bool,
}

/// A page of objects.
struct ListPage {
    items: Vec<Resource>,
    total: u32,
    /// True if more objects follow `items`.
    has_more: bool,
    /// Number of objects searched, if the search did not reach all.
    partial_of: Option<u32>,
}

/// Shows one page of a list, or the object itself for a singleton.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    Path(word): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let console_kind = ConsoleKind::named(&word)?;
    let Some(method) = &console_kind.list else {
        return inspect::single(&ctx, &admin, console_kind).await;
    };
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let wanted = wanted(console_kind, &fields);
    let found = if wanted.search.is_empty() {
        browse(&admin.api, console_kind, method, &wanted).await?
    } else {
        search(&admin.api, console_kind, method, &wanted, ctx.now()).await?
    };
    let body = body(&admin.api, console_kind, &wanted, &found, ctx.now());
    Ok(view::page(
        &admin.api,
        &console_kind.plural(),
        &console_kind.place(),
        &body,
    )
    .into_response())
}

/// Returns the number of objects. `None` for a singleton.
pub(super) async fn count(api: &Api, console_kind: &ConsoleKind) -> Result<Option<u32>, Error> {
    let Some(method) = &console_kind.list else {
        return Ok(None);
    };
    let (_, meta) = read(api, console_kind, method, common(0, 1, true), "").await?;
    Ok(Some(meta.total_count))
}

/// Returns the first 1000 objects of `owner`, and whether there are more.
pub(super) async fn owned(
    api: &Api,
    console_kind: &ConsoleKind,
    owner: &str,
) -> Result<(Vec<Resource>, bool), Error> {
    let Some(method) = &console_kind.list else {
        return Ok((Vec::new(), false));
    };
    let common = common(0, 1000, false);
    let (items, meta) = read(api, console_kind, method, common, owner).await?;
    Ok((items, meta.has_more))
}

fn wanted(console_kind: &ConsoleKind, fields: &Fields) -> ListQuery {
    let text = |name| fields.get(name).unwrap_or_default().trim();
    let number = fields.get("page").and_then(|number| number.parse().ok());
    // These kinds are numerous, and the newest objects matter most.
    let is_of_the_moment = matches!(console_kind.kind, Kind::Session | Kind::Device);
    ListQuery {
        search: text("q").chars().take(LONGEST_SEARCH).collect(),
        owner: console_kind
            .owner_filter
            .map_or_else(String::new, |by| text(by.word()).to_owned()),
        number: number.unwrap_or(1).max(1),
        is_newest_first: match text("order") {
            "newest" => true,
            "name" => false,
            _ => is_of_the_moment,
        },
    }
}

async fn browse(
    api: &Api,
    console_kind: &ConsoleKind,
    method: &MethodDescriptor,
    wanted: &ListQuery,
) -> Result<ListPage, Error> {
    let common = common(wanted.number - 1, ON_A_PAGE, !wanted.is_newest_first);
    let (items, meta) = read(api, console_kind, method, common, &wanted.owner).await?;
    Ok(ListPage {
        items,
        total: meta.total_count,
        has_more: meta.has_more,
        partial_of: None,
    })
}

/// Searches by reading the list, because the API has no search.
async fn search(
    api: &Api,
    console_kind: &ConsoleKind,
    method: &MethodDescriptor,
    wanted: &ListQuery,
    now: UnixMillis,
) -> Result<ListPage, Error> {
    let text = wanted.search.to_lowercase();
    let first = (wanted.number - 1).saturating_mul(ON_A_PAGE);
    let mut found = ListPage {
        items: Vec::new(),
        total: 0,
        has_more: false,
        partial_of: Some(0),
    };
    let mut read_so_far = 0;
    for number in 0..READS {
        let common = common(number, READ_AT_ONCE, !wanted.is_newest_first);
        let (items, meta) = read(api, console_kind, method, common, &wanted.owner).await?;
        read_so_far += items.len();
        found.partial_of = Some(u32::try_from(read_so_far).unwrap_or(u32::MAX));
        for item in items.into_iter().filter(|item| matches(item, &text, now)) {
            let is_on_page = (first..first.saturating_add(ON_A_PAGE)).contains(&found.total);
            found.total += 1;
            if is_on_page {
                found.items.push(item);
            }
        }
        if !meta.has_more {
            found.partial_of = None;
            break;
        }
    }
    if found.partial_of.is_some() && wanted.number == 1 {
        find_by_name(api, console_kind, wanted, &mut found).await?;
    }
    Ok(found)
}

/// Adds the object with exactly this name, even if the search did not reach it.
async fn find_by_name(
    api: &Api,
    console_kind: &ConsoleKind,
    wanted: &ListQuery,
    found: &mut ListPage,
) -> Result<(), Error> {
    if !api.allows(&path_of(&console_kind.get)) {
        return Ok(());
    }
    match inspect::get(api, console_kind, &wanted.search).await {
        Ok(one) => {
            let is_there = found.items.iter().any(|item| item.uid() == one.uid());
            if !is_there {
                found.items.insert(0, one);
                found.total += 1;
            }
            Ok(())
        }
        // `InvalidArgument`: the text is not a valid name.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::InvalidArgument
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn matches(item: &Resource, text: &str, now: UnixMillis) -> bool {
    let metadata = item.metadata();
    let description = metadata.map(|metadata| metadata.description.clone());
    let mut texts = columns::row(item, now, true).into_iter().chain(description);
    texts.any(|cell| cell.to_lowercase().contains(text))
}

fn common(page: u32, items_per_page: u32, is_by_name: bool) -> CommonListOptions {
    let (r#type, mode) = if is_by_name {
        (Type::Name, Mode::Asc)
    } else {
        (Type::CreatedAt, Mode::Desc)
    };
    CommonListOptions {
        page,
        items_per_page,
        order_by: Some(OrderBy {
            r#type: r#type.into(),
            mode: mode.into(),
        }),
    }
}

async fn read(
    api: &Api,
    console_kind: &ConsoleKind,
    method: &MethodDescriptor,
    common: CommonListOptions,
    owner: &str,
) -> Result<(Vec<Resource>, ListResponseMeta), Error> {
    let mut options = DynamicMessage::new(method.input());
    if let Some(common) = reflect::dynamic(&common) {
        options.set_field_by_name("common", Value::Message(common));
    }
    if let Some(by) = console_kind.owner_filter.filter(|_| !owner.is_empty()) {
        let reference = ObjectReference {
            name: owner.to_owned(),
            ..ObjectReference::default()
        };
        if let Some(reference) = reflect::dynamic(&reference) {
            options.set_field_by_name(by.field(), Value::Message(reference));
        }
    }
    let list = api.ask_dynamic(method, &options).await?;
    let items = match list.get_field_by_name("items").as_deref() {
        Some(Value::List(items)) => items.iter().filter_map(Value::as_message),
        _ => return Err(Error::internal("a list has no items")),
    }
    .map(|item| resource(console_kind.kind, item))
    .collect::<Result<_, _>>()?;
    let meta = list.get_field_by_name("listResponseMeta");
    let meta = meta.as_deref().and_then(Value::as_message);
    let meta = meta.map(DynamicMessage::transcode_to::<ListResponseMeta>);
    let meta = meta.transpose().map_err(Error::internal)?;
    Ok((items, meta.unwrap_or_default()))
}

/// Converts a dynamic message of the API to a resource.
pub(super) fn resource(kind: Kind, message: &DynamicMessage) -> Result<Resource, Error> {
    let decoded = Resource::decode_object(kind.as_str(), &message.encode_to_vec());
    let decoded = decoded.ok_or_else(|| Error::internal("a kind without resources"))?;
    decoded.map_err(Error::internal)
}

fn body(
    api: &Api,
    console_kind: &ConsoleKind,
    wanted: &ListQuery,
    found: &ListPage,
    now: UnixMillis,
) -> Markup {
    let pages = view::pages(found.total, ON_A_PAGE, wanted.number, found.has_more);
    let order = if wanted.is_newest_first {
        "newest"
    } else {
        "name"
    };
    let by = console_kind.owner_filter;
    let mut fields = vec![("q", wanted.search.as_str()), ("order", order)];
    fields.extend(by.map(|by| (by.word(), wanted.owner.as_str())));
    html! {
        div.heading {
            h1 { (console_kind.plural()) }
            @if console_kind.kind == Kind::Credential && view::may_create_credentials(api) {
                a.button href="/admin/create/credential" { "Create a Credential" }
            }
        }
        (filters(console_kind, wanted, order))
        p.count role="status" { (count_text(console_kind, wanted, found)) }
        @if found.items.is_empty() {
            div.empty { p { "Nothing to show." } @if !wanted.search.is_empty() || !wanted.owner.is_empty() { p { a href=(console_kind.place()) { "Show all" } } } }
        } @else {
            (view::table(api, console_kind, &console_kind.plural(), &found.items, now))
        }
        (view::pager(&console_kind.place(), &fields, wanted.number, pages))
    }
}

fn count_text(console_kind: &ConsoleKind, wanted: &ListQuery, found: &ListPage) -> String {
    let number = match found.total {
        1 => format!("1 {}", console_kind.kind),
        total => format!("{total} {}", console_kind.plural()),
    };
    let owner = console_kind
        .owner_filter
        .filter(|_| !wanted.owner.is_empty());
    let owner = owner.map(|by| format!(" of the {} {}", by.kind(), wanted.owner));
    let search = Some(&wanted.search).filter(|search| !search.is_empty());
    let search = search.map(|search| format!(" with “{search}”"));
    let rest = found
        .partial_of
        .map(|count| format!(" among the first {count}; the others were not searched"));
    [Some(number), owner, search, rest]
        .into_iter()
        .flatten()
        .collect()
}

fn filters(console_kind: &ConsoleKind, wanted: &ListQuery, order: &str) -> Markup {
    html! {
        form.filters role="search" method="get" action=(console_kind.place()) {
            div {
                label for="q" { "Search" }
                input type="search" id="q" name="q" value=(wanted.search) autocomplete="off";
            }
            @if let Some(by) = console_kind.owner_filter {
                div {
                    label for="owner" { (by.kind().as_str()) }
                    input type="text" id="owner" name=(by.word()) value=(wanted.owner) autocomplete="off" autocapitalize="off" spellcheck="false";
                }
            }
            div {
                label for="order" { "Order" }
                select id="order" name="order" {
                    option value="name" selected[order == "name"] { "By name" }
                    option value="newest" selected[order == "newest"] { "Newest first" }
                }
            }
            button.quiet type="submit" { "Show" }
        }
    }
}
