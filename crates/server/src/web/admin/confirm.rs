//! Confirmation page for an action on an object.

use ::api::{
    core_v1::CredentialToken,
    meta_v1::ObjectReference,
    platform_v1::{CreateEnrollmentRequest, Enrollment, Resource, RotateCredentialRequest},
};
use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use domain::duration;
use maud::{Markup, html};

use super::{
    Administrator,
    action::{self, Action, Outcome},
    api::platform,
    inspect,
    kind::Shown,
    once, secret, view,
};
use crate::{
    Context, ErrorKind,
    web::{
        failure::Failure,
        form::{Fields, Posted},
        page::token_field,
        see_other,
    },
};

type Place = Path<(String, String, String)>;

struct Asked {
    shown: &'static Shown,
    action: Action,
    resource: Resource,
}

/// Shows the confirmation.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    Path(place): Place,
) -> Result<Response, Failure> {
    let asked = asked(&admin, place).await?;
    question(&ctx, &admin, &asked, &Fields::default(), None)
}

/// Executes the confirmed action.
pub(super) async fn act(
    State(ctx): State<Context>,
    admin: Administrator,
    Path(place): Place,
    form: Posted,
) -> Result<Response, Failure> {
    let asked = asked(&admin, place).await?;
    match asked.action {
        Action::Rotate => return rotate(&ctx, &admin, &asked, &form).await,
        Action::Link => return link(&ctx, &admin, &asked, &form).await,
        _ => {}
    }
    let Asked {
        shown,
        action,
        resource,
    } = asked;
    let back = view::place_of(shown, resource.name());
    let own = admin.visitor.uid.to_string();
    let outcome = Box::pin(action.carry_out(&admin.api, &own, resource)).await;
    let outcome = outcome.map_err(|failure| failure.then(&back, "Go back"))?;
    Ok(match outcome {
        Outcome::Changed => see_other(&format!("{back}?done={}", action.word()), []),
        Outcome::Gone => see_other(&shown.place(), []),
    })
}

async fn asked(admin: &Administrator, place: (String, String, String)) -> Result<Asked, Failure> {
    let (word, name, action) = place;
    let shown = Shown::named(&word)?;
    let action = Action::named(&action).ok_or_else(Failure::not_found)?;
    let resource = inspect::get(&admin.api, shown, &name).await?;
    let is_possible = Action::on(&resource).contains(&action);
    if !is_possible || !action.is_allowed(&admin.api, shown.kind) {
        return Err(Failure::not_found().then(view::place_of(shown, &name), "Go back"));
    }
    Ok(Asked {
        shown,
        action,
        resource,
    })
}

fn question(
    ctx: &Context,
    admin: &Administrator,
    asked: &Asked,
    given: &Fields,
    problem: Option<&str>,
) -> Result<Response, Failure> {
    let Asked {
        shown,
        action,
        resource,
    } = asked;
    let name = resource.name();
    let token = admin.visitor.form_token(ctx)?;
    let class = if action.is_dangerous() { "danger" } else { "" };
    let title = format!("{}: {} {name}", action.label(), shown.kind);
    let body = html! {
        p.crumb { a href=(view::place_of(shown, name)) { (shown.kind.as_str()) " " (name) } }
        h1 { (action.label()) "?" }
        p.lead { (action.explained(shown.kind)) }
        (inspect::facts(resource, ctx.now()))
        @if let Some(problem) = problem { p.warning role="alert" { (problem) } }
        form.ask method="post" action=(action.place(shown, name)) {
            (token_field(&token))
            @match action {
                Action::Rotate => (rotation_choices(ctx, given)),
                Action::Link => (lifetime(ctx, given)),
                _ => {}
            }
            div.actions {
                button class=(class) type="submit" { (action.label()) }
                a.button.quiet href=(view::place_of(shown, name)) { "Cancel" }
            }
        }
    };
    let page = view::page(&admin.api, &title, &shown.place(), &body);
    let page = match problem {
        Some(_) => page.status(http::StatusCode::BAD_REQUEST),
        None => page,
    };
    Ok(page.into_response())
}

fn rotation_choices(ctx: &Context, given: &Fields) -> Markup {
    let chosen = given.get("former").unwrap_or("overlap");
    let overlap = given.get("overlap").unwrap_or("1day");
    let choice = |value: &str, label: &str| {
        html! {
            label.choice {
                input type="radio" name="former" value=(value) checked[chosen == value];
                " " (label)
            }
        }
    };
    html! {
        (once::field(ctx))
        fieldset {
            legend { "Current secret" }
            (choice("overlap", "Keep it and its Sessions valid for"))
            div.inset {
                label.unseen for="overlap" { "For how long" }
                input.short type="text" id="overlap" name="overlap" value=(overlap) autocomplete="off" aria-describedby="overlap-hint";
                p.fine id="overlap-hint" { "For example " code { "45minutes" } ", " code { "12hours" } " or " code { "2days" } "." }
            }
            (choice("end", "Revoke it at once, and end its Sessions"))
            (choice("keep", "Revoke it at once, but keep its Sessions"))
        }
    }
}

fn lifetime(ctx: &Context, given: &Fields) -> Markup {
    html! {
        (once::field(ctx))
        div {
            label for="lifetime" { "Valid for" }
            input.short type="text" id="lifetime" name="lifetime" value=(given.get("lifetime").unwrap_or("1hour"))
                autocomplete="off" aria-describedby="lifetime-hint";
            p.fine id="lifetime-hint" { "For example " code { "45minutes" } ", " code { "12hours" } " or " code { "2days" } ". At most 7 days." }
        }
    }
}

/// Parses a time span that a person typed.
fn span(ctx: &Context, text: &str) -> Result<::api::meta_v1::Duration, duration::DurationError> {
    let now = ctx.now();
    let until = duration::parse_expire_in(text, now)?;
    Ok(duration::to_proto(until.since(now)))
}

async fn link(
    ctx: &Context,
    admin: &Administrator,
    asked: &Asked,
    form: &Fields,
) -> Result<Response, Failure> {
    let text = form.get("lifetime").unwrap_or_default().trim();
    let expires_in = match span(ctx, text) {
        Ok(expires_in) => expires_in,
        Err(error) => {
            let problem = format!("Valid for: {error}");
            return question(ctx, admin, asked, form, Some(&problem));
        }
    };
    let name = asked.resource.name();
    let back = view::place_of(asked.shown, name);
    once::take(ctx, form, &back).await?;
    let request = CreateEnrollmentRequest {
        user_ref: Some(ObjectReference {
            uid: asked.resource.uid().to_owned(),
            ..ObjectReference::default()
        }),
        expires_in: Some(expires_in),
    };
    let path = platform("CreateEnrollment");
    let answer = admin.api.ask::<_, Enrollment>(&path, &request).await;
    match answer {
        Ok(enrollment) => Ok(secret::link(&admin.api, name, &back, &enrollment.url)),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            question(ctx, admin, asked, form, Some(error.public()))
        }
        Err(error) => Err(Failure::from(error).then(&back, "Go back")),
    }
}

async fn rotate(
    ctx: &Context,
    admin: &Administrator,
    asked: &Asked,
    form: &Fields,
) -> Result<Response, Failure> {
    let request = match rotation(ctx, &asked.resource, form) {
        Ok(request) => request,
        Err(problem) => return question(ctx, admin, asked, form, Some(&problem)),
    };
    once::take(ctx, form, "/admin/credential").await?;
    let path = platform("RotateCredential");
    let answer = admin.api.ask::<_, CredentialToken>(&path, &request).await;
    let back = view::place_of(asked.shown, asked.resource.name());
    let token = answer.map_err(|error| Failure::from(error).then(&back, "Go back"))?;
    Ok(secret::page(&admin.api, asked.resource.name(), token))
}

fn rotation(
    ctx: &Context,
    resource: &Resource,
    form: &Fields,
) -> Result<RotateCredentialRequest, String> {
    let mut request = action::rotation(resource);
    match form.get("former") {
        Some("end") => {}
        Some("keep") => request.keep_sessions = true,
        Some("overlap") => {
            let text = form.get("overlap").unwrap_or_default().trim();
            let overlap = span(ctx, text).map_err(|error| format!("For how long: {error}"))?;
            request.overlap = Some(overlap);
        }
        _ => return Err("Choose what happens to the current secret.".to_owned()),
    }
    Ok(request)
}
