//! Creates a Credential.

use ::api::{
    core_v1::{
        Credential, CredentialToken, GenerateCredentialTokenRequest,
        credential::{Spec, spec::Type},
        session::status::Type as SessionType,
    },
    meta_v1::Metadata,
    resource::Object as _,
};
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{clock::UnixMillis, duration, name, rng::random_string};
use http::StatusCode;
use maud::{Markup, html};

use super::{Administrator, api::core, one_time_form, secret, view};
use crate::{
    Context, ErrorKind,
    web::{
        failure::Failure,
        form::{Fields, VerifiedForm},
        page::token_field,
    },
};

const PLACE: &str = "/admin/create/credential";
const SUFFIX: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    check(&admin)?;
    let given = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    show(&ctx, &admin, &given, None)
}

/// Creates the Credential and shows its secret.
pub(super) async fn create(
    State(ctx): State<Context>,
    admin: Administrator,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    check(&admin)?;
    let credential = match credential(&ctx, &form) {
        Ok(credential) => credential,
        Err(problem) => return show(&ctx, &admin, &form, Some(&problem)),
    };
    one_time_form::take(&ctx, &form, "/admin/credential").await?;
    let path = core("CreateCredential");
    let created = match admin.api.ask::<_, Credential>(&path, &credential).await {
        Ok(created) => created,
        Err(error) => {
            return match error.kind() {
                ErrorKind::InvalidArgument
                | ErrorKind::AlreadyExists
                | ErrorKind::FailedPrecondition => show(&ctx, &admin, &form, Some(error.public())),
                _ => Err(error.into()),
            };
        }
    };
    let request = GenerateCredentialTokenRequest {
        credential_ref: Some(created.reference()),
    };
    let path = core("GenerateCredentialToken");
    let token = admin.api.ask::<_, CredentialToken>(&path, &request);
    let place = format!("/admin/credential/{}", created.name());
    let token = token.await.map_err(|error| {
        // The Credential exists without a secret. Rotating it creates one.
        Failure::from(error).then(
            place,
            "Go to the Credential, which was created without a secret",
        )
    })?;
    Ok(secret::page(&admin.api, created.name(), token))
}

fn check(admin: &Administrator) -> Result<(), Failure> {
    if view::may_create_credentials(&admin.api) {
        Ok(())
    } else {
        Err(Failure::not_found())
    }
}

/// Builds the Credential from the form.
fn credential(ctx: &Context, form: &Fields) -> Result<Credential, String> {
    let text = |name| form.get(name).unwrap_or_default().trim();
    let user = text("user");
    if user.is_empty() {
        return Err("Enter the name of the User that it authenticates.".to_owned());
    }
    let (r#type, word) = match text("type") {
        "auth-token" => (Type::AuthToken, "auth-token"),
        "oauth2" => (Type::Oauth2, "oauth2"),
        "access-token" => (Type::AccessToken, "access-token"),
        _ => return Err("Choose a type.".to_owned()),
    };
    let session_type = match (r#type, text("session")) {
        (Type::Oauth2, _) | (_, "clientless") => SessionType::Clientless,
        _ => SessionType::Client,
    };
    let expires_at = match text("expiry") {
        "" => None,
        text => Some(
            duration::parse_expire_in(text, ctx.now())
                .map_err(|error| format!("Expires in: {error}"))?,
        ),
    };
    let max_authentications = match text("max") {
        "" => 0,
        text => match text.parse::<u32>() {
            Ok(most) if most > 0 => most,
            _ => {
                return Err(
                    "Maximum authentications: enter a whole number of at least 1, or leave the field empty."
                        .to_owned(),
                );
            }
        },
    };
    let name = match text("name") {
        "" => name::of_credential(user, word, &random_string(&*ctx.rng, SUFFIX, 4)),
        name => name.to_owned(),
    };
    Ok(Credential {
        metadata: Some(Metadata {
            name,
            ..Metadata::default()
        }),
        spec: Some(Spec {
            r#type: r#type.into(),
            user: user.to_owned(),
            max_authentications,
            expires_at: expires_at.map(UnixMillis::to_proto),
            session_type: session_type.into(),
            ..Spec::default()
        }),
        ..Credential::default()
    })
}

fn show(
    ctx: &Context,
    admin: &Administrator,
    given: &Fields,
    problem: Option<&str>,
) -> Result<Response, Failure> {
    let token = admin.visitor.form_token(ctx)?;
    let body = html! {
        p.crumb { a href="/admin/credential" { "Credentials" } }
        h1 { "Create a Credential" }
        p.lead { "A Credential lets a User authenticate without a browser. Its secret is shown once, after you create it." }
        @if let Some(problem) = problem { p.warning role="alert" { (problem) } }
        form.ask method="post" action=(PLACE) {
            (token_field(&token))
            (one_time_form::field(ctx))
            (inputs(given))
            div.actions {
                button type="submit" { "Create and show the secret" }
                a.button.quiet href="/admin/credential" { "Cancel" }
            }
        }
    };
    let page = view::page(
        &admin.api,
        "Create a Credential",
        "/admin/credential",
        &body,
    );
    let page = match problem {
        Some(_) => page.status(StatusCode::BAD_REQUEST),
        None => page,
    };
    Ok(page.into_response())
}

fn inputs(given: &Fields) -> Markup {
    let input = |id: &str, label: &str, hint: Markup, is_required: bool| {
        let hint_id = format!("{id}-hint");
        html! {
            div {
                label for=(id) { (label) }
                input type="text" id=(id) name=(id) value=(given.get(id).unwrap_or_default())
                    required[is_required] autocomplete="off" autocapitalize="off" spellcheck="false"
                    aria-describedby=(hint_id);
                p.fine id=(hint_id) { (hint) }
            }
        }
    };
    let choice = |group: &str, value: &str, label: &str, default: &str| {
        let chosen = given.get(group).unwrap_or(default);
        html! {
            label.choice {
                input type="radio" name=(group) value=(value) checked[chosen == value];
                " " (label)
            }
        }
    };
    html! {
        (input("user", "User", html! { "The name of the User that it authenticates." }, true))
        fieldset {
            legend { "Type" }
            (choice("type", "auth-token", "Authentication token: signs in, once or several times", "auth-token"))
            (choice("type", "oauth2", "OAuth2 client: gets access tokens at the token endpoint (workloads)", "auth-token"))
            (choice("type", "access-token", "Access token: sent directly with requests (workloads)", "auth-token"))
        }
        fieldset {
            legend { "Session type" }
            (choice("session", "client", "CLIENT: for the clients of this platform, such as octelium", "client"))
            (choice("session", "clientless", "CLIENTLESS: for all other programs, and always for an OAuth2 client", "client"))
        }
        (input("expiry", "Expires in", html! { "For example " code { "12hours" } ", " code { "90days" } " or " code { "6months" } ". At most two years. If empty, the settings of the Cluster apply." }, false))
        (input("max", "Maximum authentications", html! { "How many times it can be used to authenticate. If empty, the number is unlimited." }, false))
        (input("name", "Name", html! { "Lowercase letters, digits and hyphens. If empty, a name is generated." }, false))
    }
}
