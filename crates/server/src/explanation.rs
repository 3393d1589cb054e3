//! Explanations of the decision about a described request.

use std::sync::Arc;

use api::{
    core_v1::{Authenticator, Credential, Device, Group, Session, User},
    meta_v1::ObjectReference,
    platform_v1::{DecisionExplanation, DecisionRequest, decision_explanation::StepUp},
    resource::Object as _,
};
use domain::{
    clock::UnixMillis, id::Uid, kind::Kind, name::service_full_name, scope,
    session::under_credential,
};
use policy::{Background, Described, Owners, Subject};

use crate::{
    Context, Error, ServiceEntry, Unauthenticated,
    document::{codec::Stored, load},
    resource::{built_in::API_NAMESPACE, metadata},
    step_up,
};

/// The requesting identity, with the details that the description gives.
struct Requester {
    user: User,
    groups: Vec<Group>,
    credential: Option<Credential>,
    device: Option<Device>,
    session: Session,
    subject: Arc<Subject>,
    assumptions: Vec<String>,
}

/// The requesting identity, or the reason why no Policy is evaluated.
enum RequesterKind {
    Anonymous,
    Authenticated(Box<Requester>),
    Refused(String),
}

/// Explains the decision about a described request, evaluated with the Policies attached now.
///
/// # Errors
/// Returns `NotFound` if a named object does not exist, or `InvalidArgument` if the description is invalid.
pub(crate) async fn explain(
    ctx: &Context,
    request: &DecisionRequest,
) -> Result<DecisionExplanation, Error> {
    for (kind, name) in [
        (Kind::Service, &request.service),
        (Kind::User, &request.user),
        (Kind::Session, &request.session),
        (Kind::Device, &request.device),
    ] {
        metadata::check_lengths(kind, name, "")?;
    }
    let name = service_full_name(&request.service);
    let entry = ctx.directory.service_by_name(&name);
    let entry = entry.ok_or_else(|| Error::not_found(Kind::Service, &name))?;
    let described = Described::new(request, &entry.service).map_err(Error::invalid)?;
    let at = request
        .at
        .as_ref()
        .map_or(ctx.now(), UnixMillis::from_proto);
    if let Some(reason) = policy::decided_without_policies(&entry.service, request) {
        return Ok(policy::refusal(reason));
    }
    let requester = match requester_kind(ctx, request, &entry, at).await? {
        RequesterKind::Anonymous => None,
        RequesterKind::Authenticated(requester) => Some(requester),
        RequesterKind::Refused(reason) => return Ok(policy::refusal(reason)),
    };
    let policies = ctx.directory.policies();
    let subject = requester.as_ref().map(|requester| &*requester.subject);
    let answer = policy::explain_request(&policies, subject, &entry.target, &described, at);
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(misread) => return Ok(policy::refusal(misread.to_string())),
    };
    let config = ctx.directory.cluster_config();
    answer.attachments = Owners {
        service: &entry.service,
        namespace: &entry.namespace,
        cluster: Some(&config),
        subject: requester.as_ref().map(|requester| policy::CallerResources {
            user: &requester.user,
            groups: &requester.groups,
            credential: requester.credential.as_ref(),
            device: requester.device.as_ref(),
            session: &requester.session,
        }),
    }
    .attachments();
    if !answer.allowed && request.device.is_empty() && request.at.is_none() {
        let session = requester.as_ref().map(|requester| requester.session.uid());
        answer.step_up = step_up(ctx, session, &entry, &described).await?;
    }
    let assumptions = requester.map(|requester| requester.assumptions);
    answer.assumptions.extend(assumptions.into_iter().flatten());
    Ok(answer)
}

/// Returns the authentication that would make the Policies allow the request.
async fn step_up(
    ctx: &Context,
    session: Option<&str>,
    entry: &ServiceEntry,
    described: &Described,
) -> Result<Option<StepUp>, Error> {
    let Some(session) = session.and_then(|session| session.parse::<Uid>().ok()) else {
        return Ok(None);
    };
    let policies = ctx.directory.policies();
    let now = ctx.now();
    let is_allowed = |subject: &Subject| {
        let decided = described
            .with(|request| policy::decide(&policies, Some(subject), &entry.target, request, now));
        decided.is_ok_and(|decision| decision.allowed)
    };
    let Some(found) = step_up::find(ctx, session, &is_allowed).await else {
        return Ok(None);
    };
    let mut authenticators = Vec::new();
    for uid in found
        .alternatives()
        .iter()
        .filter_map(|alternative| alternative.authenticator)
    {
        let authenticator = load::by_uid::<Authenticator>(&*ctx.store, uid, now).await?;
        authenticators.extend(authenticator.map(|one| one.message.name().to_owned()));
    }
    let methods = found.methods();
    let acr_values = methods.iter().filter_map(|method| method.acr());
    Ok(Some(StepUp {
        description: found.summary(),
        acr_values: acr_values.map(str::to_owned).collect(),
        max_age: found.max_age().map(|age| prost_types::Duration {
            seconds: i64::try_from(age.as_secs()).unwrap_or(i64::MAX),
            nanos: 0,
        }),
        authenticators,
    }))
}

/// Determines the identity like the gateway does before it evaluates the Policies.
async fn requester_kind(
    ctx: &Context,
    request: &DecisionRequest,
    entry: &ServiceEntry,
    at: UnixMillis,
) -> Result<RequesterKind, Error> {
    if policy::is_anonymous(&entry.service) {
        return Ok(RequesterKind::Anonymous);
    }
    let user: Stored<User> = named(ctx, Kind::User, &request.user).await?;
    let device = match request.device.as_str() {
        "" => None,
        name => Some(named::<Device>(ctx, Kind::Device, name).await?),
    };
    let requester = if request.session.is_empty() {
        let is_disabled = user
            .message
            .spec
            .as_ref()
            .is_some_and(|spec| spec.is_disabled);
        if is_disabled {
            return Ok(RequesterKind::Refused(
                "not authenticated: user_disabled".to_owned(),
            ));
        }
        without_session(ctx, user, device).await?
    } else {
        let session: Stored<Session> = named(ctx, Kind::Session, &request.session).await?;
        let of = session
            .message
            .status
            .as_ref()
            .and_then(|status| status.user_ref.as_ref());
        if of.is_none_or(|of: &ObjectReference| of.uid.parse::<Uid>().ok() != Some(user.uid)) {
            return Err(Error::invalid(format!(
                "The Session {} does not belong to the User {}",
                request.session, request.user
            )));
        }
        match with_session(ctx, session.uid, device, entry, at).await? {
            Ok(requester) => requester,
            Err(reason) => return Ok(RequesterKind::Refused(reason)),
        }
    };
    Ok(RequesterKind::Authenticated(Box::new(requester)))
}

async fn without_session(
    ctx: &Context,
    user: Stored<User>,
    device: Option<Stored<Device>>,
) -> Result<Requester, Error> {
    let groups = groups(ctx, &user.message).await?;
    let session = policy::default_session();
    let device = device.map(|device| device.message);
    let subject = Subject::new(&user.message, &groups, &session, device.as_ref());
    let mut assumptions = vec![
        "no Session is given: an active Session of type CLIENT without Policies is assumed"
            .to_owned(),
    ];
    if device.is_none() {
        assumptions.push("no Device is given: the request has none".to_owned());
    }
    Ok(Requester {
        user: user.message,
        groups,
        credential: None,
        device,
        session,
        subject: Arc::new(subject),
        assumptions,
    })
}

/// Returns an inner `Err` with the reason if the Session would be refused.
async fn with_session(
    ctx: &Context,
    session: Uid,
    device: Option<Stored<Device>>,
    entry: &ServiceEntry,
    at: UnixMillis,
) -> Result<Result<Requester, String>, Error> {
    let valid_session = match ctx.directory.valid_session(session, ctx.now()).await {
        Ok(valid_session) => valid_session,
        Err(Unauthenticated::Refused { reason }) => {
            return Ok(Err(format!("not authenticated: {reason}")));
        }
        Err(error @ Unauthenticated::Unavailable) => return Err(Error::unavailable(error)),
    };
    if at >= valid_session.valid_until {
        return Ok(Err(
            "not authenticated: the Session has expired at that time".to_owned(),
        ));
    }
    let name = entry.service.name();
    let is_api = entry.namespace.name() == API_NAMESPACE;
    if !scope::allows_service(valid_session.scopes(), name, is_api) {
        return Ok(Err(
            "the scopes of the Session do not include the Service".to_owned()
        ));
    }
    let groups = groups(ctx, valid_session.user()).await?;
    let session = valid_session.session();
    let (device, subject) = match device {
        None => (
            valid_session.device().cloned(),
            valid_session.subject().clone(),
        ),
        Some(device) => {
            let device = device.message;
            let credential = valid_session.credential();
            let background =
                Background::new(valid_session.user(), &groups, credential, Some(&device));
            let shown = credential.map_or_else(
                || session.clone(),
                |credential| under_credential(&session, credential),
            );
            let subject = Subject::of(Arc::new(background), &session, &shown);
            (Some(device), Arc::new(subject))
        }
    };
    Ok(Ok(Requester {
        user: valid_session.user().clone(),
        groups,
        credential: valid_session.credential().cloned(),
        device,
        session,
        subject,
        assumptions: Vec::new(),
    }))
}

async fn groups(ctx: &Context, user: &User) -> Result<Vec<Group>, Error> {
    let groups = ctx.directory.groups(user, ctx.now()).await?;
    let groups = groups.ok_or_else(|| Error::precondition("A Group of the User is missing"))?;
    Ok(groups
        .into_iter()
        .map(|(_, group)| Group::clone(&group))
        .collect())
}

async fn named<T: crate::document::codec::Resource>(
    ctx: &Context,
    kind: Kind,
    name: &str,
) -> Result<Stored<T>, Error> {
    let found = load::by_name::<T>(&*ctx.store, name, ctx.now()).await?;
    found.ok_or_else(|| Error::not_found(kind, name))
}
