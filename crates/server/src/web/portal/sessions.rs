//! The Sessions of a User.

use api::{
    core_v1::{
        Session,
        session::{
            spec::State as SessionState,
            status::{
                Type,
                authentication::{Info, info},
            },
        },
    },
    resource::Object as _,
};
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::{clock::UnixMillis, id::Uid, session};
use maud::{Markup, html};

use super::{Member, time_text::time_text};
use crate::{
    Caller, Context, Error,
    authentication::browser,
    document::{codec::Stored, index, load},
    geoip,
    web::{
        failure::Failure,
        form::VerifiedForm,
        logout::logged_out,
        page::{Page, Section, token_field},
        see_other,
    },
};

/// Maximum number of Sessions that are read.
const MOST: u32 = 1000;

/// Lists the Sessions, the current one first and then by last use.
pub(super) async fn page(State(ctx): State<Context>, member: Member) -> Result<Response, Failure> {
    let now = ctx.now();
    let mut sessions = live(&ctx, &member, now).await?;
    sessions.sort_by_key(|stored| {
        let is_other = stored.uid != member.uid;
        (is_other, std::cmp::Reverse(seen_at(&stored.message)))
    });
    let token = member.form_token(&ctx)?;
    let body = html! {
        div.heading { h1 { "Active sessions" } }
        p.count { "Browsers and programs that are signed in as you. End the ones that you do not recognize." }
        ul.rows {
            @for stored in &sessions { li.row { (row(stored, stored.uid == member.uid, &token, now)) } }
        }
        div.actions {
            @if sessions.len() > 1 {
                form method="post" action="/sessions/end-others" {
                    (token_field(&token))
                    button.quiet type="submit" { "End all others" }
                }
            }
            form method="post" action="/sessions/end-all" {
                (token_field(&token))
                button.danger type="submit" { "Sign out everywhere" }
            }
        }
    };
    Ok(Page::of(Section::Sessions, body).into_response())
}

/// Ends one Session.
pub(super) async fn end(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let uid = form.get("session").and_then(|uid| uid.parse::<Uid>().ok());
    let uid = uid.ok_or_else(Failure::not_found)?;
    browser::end(&ctx, &member.active, uid, &caller).await?;
    if uid == member.uid {
        return Ok(logged_out("This browser's Session has ended."));
    }
    Ok(see_other("/sessions", []))
}

/// Ends all Sessions except the current one.
pub(super) async fn end_others(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    _form: VerifiedForm,
) -> Result<Response, Failure> {
    end_each(&ctx, &member, &caller).await?;
    Ok(see_other("/sessions", []))
}

/// Ends all Sessions, the current one last.
pub(super) async fn end_all(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    _form: VerifiedForm,
) -> Result<Response, Failure> {
    end_each(&ctx, &member, &caller).await?;
    browser::end(&ctx, &member.active, member.uid, &caller).await?;
    Ok(logged_out(
        "All your Sessions have ended: browsers, terminals and Services.",
    ))
}

async fn end_each(ctx: &Context, member: &Member, caller: &Caller) -> Result<(), Failure> {
    for stored in all(ctx, member, ctx.now()).await? {
        if stored.uid != member.uid {
            browser::end(ctx, &member.active, stored.uid, caller).await?;
        }
    }
    Ok(())
}

async fn live(
    ctx: &Context,
    member: &Member,
    now: UnixMillis,
) -> Result<Vec<Stored<Session>>, Failure> {
    let mut sessions = all(ctx, member, now).await?;
    sessions.retain(|stored| !session::is_over(&stored.message, now));
    Ok(sessions)
}

async fn all(
    ctx: &Context,
    member: &Member,
    now: UnixMillis,
) -> Result<Vec<Stored<Session>>, Failure> {
    let user = member.resumed.user.uid.to_string();
    let found = load::by_index::<Session>(&*ctx.store, index::USER, &user, MOST, now).await;
    let (sessions, _) = found.map_err(Error::from)?;
    Ok(sessions)
}

fn row(stored: &Stored<Session>, is_own: bool, token: &str, now: UnixMillis) -> Markup {
    let session = &stored.message;
    let status = session.status().cloned().unwrap_or_default();
    let authentication = status.authentication.unwrap_or_default();
    let info = authentication.info.unwrap_or_default();
    let whereabouts = info
        .geoip
        .as_ref()
        .map(geoip::display_location)
        .unwrap_or_default();
    let place = info.downstream.unwrap_or_default();
    let began = status.initial_authentication.unwrap_or_default();
    let device = status.device_ref.map(|device| device.name);
    let expires_at = session.spec().and_then(|spec| spec.expires_at);
    html! {
        div.row-main {
            h2 {
                (client(status.is_browser, status.r#type, &place.user_agent))
                @if is_own { " " span.badge.good { "This browser" } }
                @if state(session) == SessionState::Pending { " " span.badge { "Waiting for approval" } }
            }
            dl.facts {
                @if !place.ip_address.is_empty() { (fact("Address", &html! { (place.ip_address) })) }
                @if !whereabouts.is_empty() { (fact("Location", &html! { (whereabouts) })) }
                @if let Some(device) = device { (fact("Device", &html! { (device) })) }
                @if let Some(at) = seen_at(session) { (fact("Last seen", &time_text(at, now))) }
                @if let Some(at) = &began.set_at { (fact("Since", &time_text(UnixMillis::from_proto(at), now))) }
                (fact("Signed in with", &html! { (way(began.info.as_ref().map(Info::r#type))) }))
                @if let Some(at) = &expires_at { (fact("Ends", &time_text(UnixMillis::from_proto(at), now))) }
            }
        }
        form method="post" action="/sessions/end" {
            (token_field(token))
            input type="hidden" name="session" value=(stored.uid);
            button.quiet type="submit" { "End" span.unseen { " the Session " (session.name()) } }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn state(session: &Session) -> SessionState {
    session
        .spec()
        .map_or(SessionState::Unknown, api::core_v1::session::Spec::state)
}

fn seen_at(session: &Session) -> Option<UnixMillis> {
    let authentication = session.status()?.authentication.as_ref()?;
    authentication.set_at.as_ref().map(UnixMillis::from_proto)
}

fn way(by: Option<info::Type>) -> &'static str {
    match by {
        Some(info::Type::Credential) => "Credential",
        Some(info::Type::Internal) => "Sign-in link",
        Some(info::Type::IdentityProvider) => "Identity provider",
        Some(info::Type::Authenticator) => "Passkey",
        _ => "Other",
    }
}

/// Returns a readable name of the client.
pub(super) fn client(is_browser: bool, session_type: i32, user_agent: &str) -> String {
    if !is_browser {
        return if user_agent.starts_with("octelium-cli") || session_type == Type::Client as i32 {
            "Command line".to_owned()
        } else {
            "Program".to_owned()
        };
    }
    // Most specific first: the user agent of a browser also contains the names below it.
    let browser = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    let system = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(mark, _)| user_agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    match (named(&browser), named(&system)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => "Browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
        "Chrome on Linux"
    )]
    #[case(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0",
        "Firefox on Windows"
    )]
    #[case(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
        "Safari on iPhone"
    )]
    #[case(
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0",
        "Edge on Windows"
    )]
    #[case("something", "Browser")]
    fn browsers_are_called_by_their_names(#[case] user_agent: &str, #[case] name: &str) {
        assert_eq!(client(true, 0, user_agent), name);
    }
}
