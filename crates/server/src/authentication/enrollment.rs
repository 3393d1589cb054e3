//! Links by which a person gets a browser Session, once: the first login, and where there is no identity provider.
//!
//! Nothing is stored when a link is made: it is sealed, and that it was used is recorded in the transaction that
//! begins the Session. So a link is neither lost by a login that fails nor used twice.

use std::time::Duration;

use api::{
    core_v1::{User, user},
    platform_v1::{CreateEnrollmentRequest, Enrollment},
    resource::Object as _,
};
use domain::{duration, id::Uid, kind::Kind};
use store::{Operation, Transaction};

use super::{
    browser::{self, Begun, Entrance, Way},
    identity::SingleUse,
    secret,
};
use crate::{
    Actor, Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    resource::load,
    web::sealed::{self, NotOpened, Purpose},
};

const LIFETIME: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// That a link was used.
const USED: &str = "enrollment-used";
const EVENT: &str = "session.created";

/// What a link holds.
#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
}

/// Makes a link.
///
/// # Errors
/// `NotFound` where there is no such User; `InvalidArgument` for one that is no person, and for the duration;
/// `FailedPrecondition` where the User may not log in.
pub async fn create(
    ctx: &Context,
    actor: &Actor,
    request: &CreateEnrollmentRequest,
) -> Result<Enrollment, Error> {
    let lifetime = match &request.expires_in {
        None => LIFETIME,
        Some(given) => {
            duration::check(given).map_err(|error| Error::invalid(format!("expiresIn: {error}")))?
        }
    };
    if lifetime.is_zero() || lifetime > LONGEST {
        return Err(Error::invalid(
            "expiresIn must be more than nothing and at most 7 days",
        ));
    }
    let now = ctx.now();
    let user = find(ctx, request).await?;
    if user.spec().map(user::Spec::r#type) != Some(user::spec::Type::Human) {
        return Err(Error::invalid(format!(
            "The User {} is not of type HUMAN: a workload logs in with a Credential",
            user.name()
        )));
    }
    secret::may_log_in(&user).map_err(|refusal| {
        Error::precondition(format!("The User {}: {refusal}", user.name()))
            .because(refusal.reason())
    })?;
    let uid: Uid = user.uid().parse().map_err(Error::internal)?;
    let expires_at = now.saturating_add(lifetime);
    let link = Link {
        user: uid.as_bytes().to_vec(),
        id: ctx.new_uid().as_bytes().to_vec(),
    };
    let text = sealed::seal(ctx, Purpose::Enrollment, &link, expires_at)?;

    let session = actor.principal.session_metadata();
    let caller = Caller {
        request_id: actor.request_id.clone(),
        ip: actor.ip,
        user_agent: actor.user_agent.clone(),
    };
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Audit(audit::done(
        ctx,
        &caller,
        Entry {
            event_type: "enrollment.created",
            resource: user.metadata().map(|metadata| (Kind::User, metadata)),
            user: actor.principal.user().metadata.as_ref(),
            session: Some(&session),
        },
    )));
    ctx.store.commit(transaction).await?;
    Ok(Enrollment {
        // In the fragment: no server and no log on the way sees it, and whoever fetches the link to look what is
        // behind it sends nothing that could use it up.
        url: format!("{}/enroll#{}.{text}", ctx.domain.url(), user.name()),
        expires_at: Some(expires_at.to_proto()),
        user_ref: Some(user.reference()),
    })
}

/// Begins the Session of whoever holds `text`, the fragment of a link. `former` is the Session that the browser has
/// had until now, which ends.
///
/// # Errors
/// `Unauthenticated` where the link is none, has expired or was used; `PermissionDenied` where the User may not log
/// in or has too many Sessions.
pub(crate) async fn redeem(
    ctx: &Context,
    text: &str,
    former: Option<Uid>,
    caller: &Caller,
) -> Result<Begun, Error> {
    attempt(ctx, text, former, caller)
        .await
        .inspect_err(|error| {
            if let Some(reason) = error.reason() {
                let entry = Entry {
                    event_type: EVENT,
                    resource: None,
                    user: None,
                    session: None,
                };
                ctx.audit.add(audit::refused(ctx, caller, entry, reason));
            }
        })
}

async fn attempt(
    ctx: &Context,
    text: &str,
    former: Option<Uid>,
    caller: &Caller,
) -> Result<Begun, Error> {
    let text = text.trim();
    let (name, code) = text
        .rsplit_once('.')
        .ok_or_else(|| none("link_malformed"))?;
    let opened = sealed::open::<Link>(ctx, Purpose::Enrollment, code).await;
    let link = opened.map_err(|error| match error {
        NotOpened::Invalid => none("link_invalid"),
        NotOpened::Expired => Error::new(
            ErrorKind::Unauthenticated,
            "This link has expired. Ask for a new one.",
        )
        .because("link_expired"),
        NotOpened::Unavailable => Error::unavailable("a link cannot be opened"),
    })?;
    let (Ok(user), Ok(id)) = (Uid::from_bytes(&link.user), Uid::from_bytes(&link.id)) else {
        return Err(none("link_invalid"));
    };
    let entrance = Entrance {
        user,
        way: Way::Enrollment(SingleUse {
            kind: USED,
            key: id.as_bytes().to_vec(),
            expires_at: ctx.now().saturating_add(LONGEST),
        }),
        former,
    };
    browser::begin(ctx, &entrance, caller, |user| {
        // What the person has read on the page must be who they become.
        if user.name() == name {
            Ok(())
        } else {
            Err(none("link_name"))
        }
    })
    .await
}

fn none(reason: &'static str) -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "This is not a link that this Cluster has made, or not all of it. Copy the whole link, or ask for a new one.",
    )
    .because(reason)
}

async fn find(ctx: &Context, request: &CreateEnrollmentRequest) -> Result<User, Error> {
    let reference = request.user_ref.clone().unwrap_or_default();
    let now = ctx.now();
    let found = if reference.uid.is_empty() {
        if reference.name.is_empty() {
            return Err(Error::invalid("userRef needs a name or a uid"));
        }
        load::by_name::<User>(&*ctx.store, &reference.name, now).await?
    } else {
        let uid = reference
            .uid
            .parse()
            .map_err(|_| Error::invalid("userRef.uid is not a UUID"))?;
        load::by_uid::<User>(&*ctx.store, uid, now)
            .await?
            .filter(|found| reference.name.is_empty() || found.message.name() == reference.name)
    };
    let which = if reference.name.is_empty() {
        &reference.uid
    } else {
        &reference.name
    };
    found
        .map(|found| found.message)
        .ok_or_else(|| Error::not_found(Kind::User, which))
}
