//! Common parts of the console pages.

use ::api::platform_v1::Resource;
use domain::{clock::UnixMillis, columns};
use maud::{Markup, html};

use super::{
    access,
    api::{Api, core, platform},
    audit,
    kind::ConsoleKind,
};
use crate::web::page::{Page, Section};

/// Maximum length of a table cell in characters. The page of the object shows the whole value.
const LONGEST_CELL: usize = 60;

/// Returns a console page with the navigation of all pages that the Session may see. `here` is the current address.
pub(super) fn page(api: &Api, title: &str, here: &str, body: &Markup) -> Page {
    let body = html! {
        div.console {
            (contents(api, here))
            div.console-main { (body) }
        }
    };
    Page::of(Section::Admin, body).titled(title)
}

fn contents(api: &Api, here: &str) -> Markup {
    let entry = |place: &str, label: &str| {
        html! {
            li { a href=(place) aria-current=[(place == here).then_some("page")] { (label) } }
        }
    };
    html! {
        nav.contents aria-label="Admin console" {
            ul {
                (entry(super::ADMIN, "Overview"))
                @for console_kind in ConsoleKind::all().iter().filter(|console_kind| api.allows(&console_kind.path())) {
                    (entry(&console_kind.place(), &console_kind.plural()))
                }
                @if api.allows(&platform("ListAuditEvent")) { (entry(audit::PLACE, "Audit events")) }
                @if api.allows(&platform("ListAccessEvent")) { (entry(access::PLACE, "Access events")) }
            }
        }
    }
}

/// Renders objects as a table with the columns of the command line.
pub(super) fn table(
    api: &Api,
    console_kind: &ConsoleKind,
    caption: &str,
    items: &[Resource],
    now: UnixMillis,
) -> Markup {
    let header = columns::header(console_kind.kind, false);
    let is_linked = api.allows(&super::api::path_of(&console_kind.get));
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption.unseen { (caption) }
                thead { tr { @for title in &header { th scope="col" { (heading(title)) } } } }
                tbody {
                    @for item in items { tr { (cells(console_kind, item, is_linked, now)) } }
                }
            }
        }
    }
}

fn cells(console_kind: &ConsoleKind, item: &Resource, is_linked: bool, now: UnixMillis) -> Markup {
    let row = columns::row(item, now, false);
    let mut cells = row.iter();
    let name = cells.next().map_or("", String::as_str);
    html! {
        th scope="row" {
            @if is_linked { a href=(object_path(console_kind, name)) { (name) } } @else { (name) }
        }
        @for cell in cells { td { (cut(cell)) } }
    }
}

/// Converts a column title such as `LAST USED` to sentence case.
pub(super) fn heading(title: &str) -> String {
    let words = title
        .split(' ')
        .enumerate()
        .map(|(index, word)| match word {
            "ID" | "UID" | "OS" | "TLS" => word.to_owned(),
            _ if index == 0 => {
                let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
                format!("{first}{}", rest.to_lowercase())
            }
            _ => word.to_lowercase(),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the address of an object. Names need no escaping in addresses.
pub(super) fn object_path(console_kind: &ConsoleKind, name: &str) -> String {
    format!("{}/{name}", console_kind.place())
}

/// Returns the address of the list of a kind, filtered by the owner `name`.
pub(super) fn narrowed(console_kind: &ConsoleKind, name: &str) -> Option<String> {
    let by = console_kind.owner_filter?;
    Some(format!("{}?{}={name}", console_kind.place(), by.word()))
}

/// Returns `text`, truncated to [`LONGEST_CELL`] characters. An empty text becomes a dash.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None if text.is_empty() => "–".to_owned(),
        None => text.to_owned(),
    }
}

/// Returns the number of pages that are known to exist. A page limited by bytes has fewer than `on_a_page` items, so
/// there can be more pages than the total suggests.
pub(super) fn pages(total: u32, on_a_page: u32, number: u32, has_more: bool) -> u32 {
    let next = if has_more {
        number.saturating_add(1)
    } else {
        1
    };
    total.div_ceil(on_a_page).max(next)
}

/// Renders the links to the previous and next page.
pub(super) fn pager(place: &str, fields: &[(&str, &str)], number: u32, pages: u32) -> Markup {
    let to = |number: u32| {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()))
            .append_pair("page", &number.to_string())
            .finish();
        format!("{place}?{query}")
    };
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if number > 1 { a.button.quiet href=(to(number - 1)) rel="prev" { "Previous" } }
                span { "Page " (number) " of " (pages) }
                @if number < pages { a.button.quiet href=(to(number + 1)) rel="next" { "Next" } }
            }
        }
    }
}

/// Returns whether this Session may create Credentials and generate their tokens.
pub(super) fn may_create_credentials(api: &Api) -> bool {
    api.allows(&core("CreateCredential")) && api.allows(&core("GenerateCredentialToken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_bounded_by_bytes_are_reached_g5() {
        assert_eq!(pages(0, 50, 1, false), 1);
        assert_eq!(pages(120, 50, 1, true), 3);
        assert_eq!(pages(60, 50, 2, true), 3);
        assert_eq!(pages(60, 50, 3, false), 2);
    }
}
