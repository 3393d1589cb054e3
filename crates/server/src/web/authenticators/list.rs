//! The Authenticators of a User.

use api::{
    core_v1::{
        Authenticator,
        authenticator::{spec::State as AuthenticatorState, status::info},
    },
    resource::Object as _,
};
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{authenticator, clock::UnixMillis};
use maud::{Markup, html};

use super::{HOME, kind, label, next_field, prove_first};
use crate::{
    Caller, Context,
    authentication::authenticator::{AuthenticatorSelector, Holder, manage, recovery},
    document::codec::Stored,
    web::{
        failure::Failure,
        form::VerifiedForm,
        login,
        next::Next,
        page::{Page, Section, token_field},
        portal::{Member, time_text},
        see_other,
    },
};

pub(super) async fn page(State(ctx): State<Context>, member: Member) -> Result<Response, Failure> {
    let now = ctx.now();
    let holder = Holder::of_browser(&ctx, &member.resumed).await?;
    let all = holder.authenticators(&ctx, now).await?;
    let remaining = recovery::remaining(&ctx, &holder).await?;
    let token = member.form_token(&ctx)?;
    let field = next_field(&ctx, &Next::page(HOME))?;
    let body = html! {
        div.heading { h1 { "Authenticators" } }
        p.count { "Passkeys, security keys and apps that verify it's you. Add at least two in case you lose one." }
        @if all.is_empty() {
            div.empty { p { "You have none yet." } }
        } @else {
            ul.rows { @for stored in &all { li.row { (row(stored, &token, now)) } } }
        }
        h2 { "Add another" }
        form.ask method="post" {
            (token_field(&token)) (field)
            div {
                label for="name" { "Name" }
                input type="text" id="name" name="name" maxlength="120" autocomplete="off" placeholder="Phone";
            }
            div.actions.close {
                button type="submit" formaction="/authenticators/fido" { "Passkey or security key" }
                button.quiet type="submit" formaction="/authenticators/totp" { "Authenticator app" }
            }
        }
        @if all.iter().any(|stored| authenticator::is_registered(&stored.message)) {
            (codes(remaining, &token, now))
        }
    };
    Ok(Page::of(Section::Authenticators, body).into_response())
}

pub(super) async fn rename(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let holder = Holder::of_browser(&ctx, &member.resumed).await?;
    let name = form.get("name").unwrap_or_default().trim();
    let which = which(form.get("authenticator"));
    manage::rename(&ctx, &holder, &which, name, &caller)
        .await
        .map_err(|error| Failure::from(error).then(HOME, "Back to Authenticators"))?;
    Ok(see_other(HOME, []))
}

/// Asks for confirmation before an Authenticator is removed.
pub(super) async fn confirm(
    State(ctx): State<Context>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = login::query_fields(query.as_deref())?;
    let holder = Holder::of_browser(&ctx, &member.resumed).await?;
    let found = manage::find(&ctx, &holder, &which(fields.get("authenticator"))).await?;
    let token = member.form_token(&ctx)?;
    let body = html! {
        div.heading { h1 { "Remove " (label(&found.message)) "?" } }
        p.lead { "You can no longer use it to verify it's you. Sessions that were created with it, or are bound to it, end." }
        form.ask method="post" action="/authenticators/remove" {
            (token_field(&token))
            input type="hidden" name="authenticator" value=(found.uid);
            div.actions.close {
                button.danger type="submit" { "Remove" }
                a.button.quiet href=(HOME) { "Cancel" }
            }
        }
    };
    Ok(Page::of(Section::Authenticators, body)
        .titled("Remove an Authenticator?")
        .into_response())
}

pub(super) async fn remove(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let holder = Holder::of_browser(&ctx, &member.resumed).await?;
    match manage::delete(&ctx, &holder, &which(form.get("authenticator")), &caller).await {
        Ok(()) => Ok(see_other(HOME, [])),
        Err(error) => prove_first(&ctx, &holder, error, &Next::page(HOME)).await,
    }
}

fn which(uid: Option<&str>) -> AuthenticatorSelector<'_> {
    AuthenticatorSelector {
        name: "",
        uid: uid.unwrap_or_default(),
    }
}

fn row(stored: &Stored<Authenticator>, token: &str, now: UnixMillis) -> Markup {
    let one = &stored.message;
    let status = one.status().cloned().unwrap_or_default();
    let used = status.last_used_at.as_ref().map(UnixMillis::from_proto);
    html! {
        div.row-main {
            h2 { (label(one)) @if let Some((text, is_good)) = badge(one) { " " span.badge.good[is_good] { (text) } } }
            dl.facts {
                (fact("Type", &html! { (kind(one)) }))
                @if !status.description.is_empty() { (fact("Model", &html! { (status.description) })) }
                @if let Some(kept) = kept(one) { (fact("Storage", &html! { (kept) })) }
                (fact("Added", &time_text(stored.created_at, now)))
                (fact("Last used", &html! { @match used { Some(at) => (time_text(at, now)), None => "never" } }))
            }
            details {
                summary { "Rename" span.unseen { " " (label(one)) } }
                form.filters method="post" action="/authenticators/rename" {
                    (token_field(token))
                    input type="hidden" name="authenticator" value=(stored.uid);
                    div {
                        label for={ "name-" (stored.uid) } { "New name" }
                        input type="text" id={ "name-" (stored.uid) } name="name" maxlength="120" autocomplete="off"
                            value=(one.spec().map_or("", |spec| spec.display_name.as_str()));
                    }
                    button.quiet type="submit" { "Rename" }
                }
            }
        }
        a.button.quiet href={ "/authenticators/remove?authenticator=" (stored.uid) } {
            "Remove" span.unseen { " " (label(one)) }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Returns the state if it needs attention, and whether it is a good state.
fn badge(one: &Authenticator) -> Option<(&'static str, bool)> {
    let state = one.spec().map(api::core_v1::authenticator::Spec::state);
    if !authenticator::is_registered(one) {
        return Some(("Setup not finished", false));
    }
    if one
        .status()
        .is_some_and(|status| status.cloned_at.is_some())
    {
        return Some(("Blocked: there may be a copy of it", false));
    }
    match state {
        Some(AuthenticatorState::Active) => None,
        Some(AuthenticatorState::Pending) => Some(("Waiting for approval", false)),
        _ => Some(("Rejected", false)),
    }
}

/// Returns whether the passkey is synced or bound to one device.
fn kept(one: &Authenticator) -> Option<&'static str> {
    let Some(info::Type::Fido(fido)) = authenticator::info(one) else {
        return None;
    };
    Some(match (fido.backup_eligible, fido.backup_state) {
        (_, true) => "Synced to your other devices",
        (true, false) => "Can be synced, but is not yet",
        (false, false) => "On one device only",
    })
}

fn codes(left: Option<(usize, UnixMillis)>, token: &str, now: UnixMillis) -> Markup {
    html! {
        h2 { "Recovery codes" }
        @match left {
            Some((count, made)) => p { (count) " left, created " (time_text(made, now)) "." },
            None => p { "You have none. They let you sign in if you lose your Authenticators." },
        }
        form.actions.close method="post" action="/authenticators/recovery" {
            (token_field(token))
            button.quiet type="submit" { "Create new recovery codes" }
        }
    }
}
