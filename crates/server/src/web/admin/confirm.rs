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
    kind::ConsoleKind,
    one_time_form, secret, view,
};
use crate::{
    Context, ErrorKind,
    web::{
        failure::Failure,
        form::{Fields, VerifiedForm},
        page::token_field,
        see_other,
    },
};

type ConfirmationPath = Path<(String, String, String)>;

struct Confirmation {
    console_kind: &'static ConsoleKind,
    action: Action,
    resource: Resource,
}

/// Shows the confirmation.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    Path(place): ConfirmationPath,
) -> Result<Response, Failure> {
    let confirmation = confirmation(&admin, place).await?;
    question(&ctx, &admin, &confirmation, &Fields::default(), None)
}

/// Executes the confirmed action.
pub(super) async fn act(
    State(ctx): State<Context>,
    admin: Administrator,
    Path(place): ConfirmationPath,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let confirmation = confirmation(&admin, place).await?;
    match confirmation.action {
        Action::Rotate => return rotate(&ctx, &admin, &confirmation, &form).await,
        Action::Link => return link(&ctx, &admin, &confirmation, &form).await,
        _ => {}
    }
    let Confirmation {
        console_kind,
        action,
        resource,
    } = confirmation;
    let back = view::object_path(console_kind, resource.name());
    let own = admin.visitor.uid.to_string();
    let outcome = Box::pin(action.execute(&admin.api, &own, resource)).await;
    let outcome = outcome.map_err(|failure| failure.then(&back, "Go back"))?;
    Ok(match outcome {
        Outcome::Changed => see_other(&format!("{back}?done={}", action.word()), []),
        Outcome::Gone => see_other(&console_kind.place(), []),
    })
}

async fn confirmation(
    admin: &Administrator,
    place: (String, String, String),
) -> Result<Confirmation, Failure> {
    let (word, name, action) = place;
    let console_kind = ConsoleKind::named(&word)?;
    let action = Action::named(&action).ok_or_else(Failure::not_found)?;
    let resource = inspect::get(&admin.api, console_kind, &name).await?;
    let is_possible = Action::on(&resource).contains(&action);
    if !is_possible || !action.is_allowed(&admin.api, console_kind.kind) {
        return Err(Failure::not_found().then(view::object_path(console_kind, &name), "Go back"));
    }
    Ok(Confirmation {
        console_kind,
        action,
        resource,
    })
}

fn question(
    ctx: &Context,
    admin: &Administrator,
    confirmation: &Confirmation,
    given: &Fields,
    problem: Option<&str>,
) -> Result<Response, Failure> {
    let Confirmation {
        console_kind,
        action,
        resource,
    } = confirmation;
    let name = resource.name();
    let token = admin.visitor.form_token(ctx)?;
    let class = if action.is_dangerous() { "danger" } else { "" };
    let title = format!("{}: {} {name}", action.label(), console_kind.kind);
    let body = html! {
        p.crumb { a href=(view::object_path(console_kind, name)) { (console_kind.kind.as_str()) " " (name) } }
        h1 { (action.label()) "?" }
        p.lead { (action.explained(console_kind.kind)) }
        (inspect::facts(resource, ctx.now()))
        @if let Some(problem) = problem { p.warning role="alert" { (problem) } }
        form.ask method="post" action=(action.place(console_kind, name)) {
            (token_field(&token))
            @match action {
                Action::Rotate => (rotation_choices(ctx, given)),
                Action::Link => (lifetime(ctx, given)),
                _ => {}
            }
            div.actions {
                button class=(class) type="submit" { (action.label()) }
                a.button.quiet href=(view::object_path(console_kind, name)) { "Cancel" }
            }
        }
    };
    let page = view::page(&admin.api, &title, &console_kind.place(), &body);
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
        (one_time_form::field(ctx))
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
        (one_time_form::field(ctx))
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
    confirmation: &Confirmation,
    form: &Fields,
) -> Result<Response, Failure> {
    let text = form.get("lifetime").unwrap_or_default().trim();
    let expires_in = match span(ctx, text) {
        Ok(expires_in) => expires_in,
        Err(error) => {
            let problem = format!("Valid for: {error}");
            return question(ctx, admin, confirmation, form, Some(&problem));
        }
    };
    let name = confirmation.resource.name();
    let back = view::object_path(confirmation.console_kind, name);
    one_time_form::take(ctx, form, &back).await?;
    let request = CreateEnrollmentRequest {
        user_ref: Some(ObjectReference {
            uid: confirmation.resource.uid().to_owned(),
            ..ObjectReference::default()
        }),
        expires_in: Some(expires_in),
    };
    let path = platform("CreateEnrollment");
    let answer = admin.api.ask::<_, Enrollment>(&path, &request).await;
    match answer {
        Ok(enrollment) => Ok(secret::link(&admin.api, name, &back, &enrollment.url)),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            question(ctx, admin, confirmation, form, Some(error.public()))
        }
        Err(error) => Err(Failure::from(error).then(&back, "Go back")),
    }
}

async fn rotate(
    ctx: &Context,
    admin: &Administrator,
    confirmation: &Confirmation,
    form: &Fields,
) -> Result<Response, Failure> {
    let request = match rotation(ctx, &confirmation.resource, form) {
        Ok(request) => request,
        Err(problem) => return question(ctx, admin, confirmation, form, Some(&problem)),
    };
    one_time_form::take(ctx, form, "/admin/credential").await?;
    let path = platform("RotateCredential");
    let answer = admin.api.ask::<_, CredentialToken>(&path, &request).await;
    let back = view::object_path(confirmation.console_kind, confirmation.resource.name());
    let token = answer.map_err(|error| Failure::from(error).then(&back, "Go back"))?;
    Ok(secret::page(
        &admin.api,
        confirmation.resource.name(),
        token,
    ))
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
