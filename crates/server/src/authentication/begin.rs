//! A Session begins, in the transaction that redeems what it was made by: exactly as many as may, and nothing is
//! left of those that may not.

use api::core_v1::{
    Credential, Session, User,
    session::{spec::State, status::Type},
};
use domain::{
    clock::UnixMillis,
    credential::{self, AfterUse, Generation},
    id::Uid,
    kind::Kind,
    session::{self, NewSession},
};
use store::{CommitError, Committed, Expected, Operation, SecretWrite, Transaction};

use super::secret::Proof;
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    directory::Known,
    resource::{codec, index, load},
};

/// How many Sessions of an auto-deleted Credential are cut loose from it.
const LOOSENED: u32 = 1000;

/// A Session that is to begin.
pub(crate) struct Beginning<'a> {
    pub(crate) proof: &'a Proof,
    pub(crate) user: &'a Known<User>,
    pub(crate) scopes: Vec<api::core_v1::Scope>,
    pub(crate) session_type: Type,
    pub(crate) caller: &'a Caller,
    /// A Session that makes room for this one: it has ended, or is about to.
    pub(crate) replaces: Option<Uid>,
}

/// Begins the Session.
///
/// # Errors
/// Those of the transaction: a conflict where the Credential or the User has changed since it was read.
pub(crate) async fn begin(
    ctx: &Context,
    beginning: Beginning<'_>,
    now: UnixMillis,
) -> Result<(Session, Committed), CommitError> {
    let Beginning { proof, user, .. } = &beginning;
    let credential = &proof.credential;
    let mut redeemed = Credential::clone(&credential.message);
    let is_counted = credential::counted(&redeemed);
    let after_use = if is_counted {
        credential::record_use(&mut redeemed, 1, now)
    } else {
        AfterUse::Keep
    };

    let mut transaction = Transaction::at(now);
    let mut session = new_session(ctx, &beginning, after_use, now);
    match (is_counted, after_use) {
        (false, _) => {
            transaction.push(Operation::Unchanged(
                Kind::Credential,
                credential.uid,
                credential.revision,
            ));
        }
        (true, AfterUse::Keep) => {
            let document = codec::encode(credential.uid, now, &redeemed, SecretWrite::Keep);
            transaction.push(Operation::Put(
                document,
                Expected::Revision(credential.revision),
            ));
        }
        (true, AfterUse::Delete) => {
            transaction.push(Operation::Delete(
                Kind::Credential,
                credential.uid,
                Some(credential.revision),
            ));
            loosen(ctx, &mut transaction, credential, now).await?;
            take_over(&mut session, &credential.message);
        }
    }
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    if let Some(replaced) = beginning.replaces {
        transaction.push(Operation::Delete(Kind::Session, replaced, None));
    }
    transaction.push(Operation::Limit {
        kind: Kind::Session,
        index: index::USER,
        value: user.uid.to_string(),
        below: session::max_per_user(&user.message, &ctx.directory.cluster_config()),
    });
    let uid = session
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.uid.parse().ok());
    let uid = uid.unwrap_or_else(|| ctx.new_uid());
    transaction.push(Operation::Put(
        codec::encode(uid, now, &session, SecretWrite::Keep),
        Expected::Absent,
    ));
    let mut event = audit::done(
        ctx,
        beginning.caller,
        Entry {
            event_type: "session.created",
            resource: session
                .metadata
                .as_ref()
                .map(|metadata| (Kind::Session, metadata)),
            user: user.message.metadata.as_ref(),
            session: session.metadata.as_ref(),
        },
    );
    if let Some(metadata) = &credential.message.metadata {
        event
            .attrs
            .insert("credential".to_owned(), metadata.name.clone());
    }
    transaction.push(Operation::Audit(event));

    let committed = ctx.store.commit(transaction).await?;
    if !is_counted {
        ctx.usage.count(credential.uid, now);
    }
    Ok((session, committed))
}

fn new_session(
    ctx: &Context,
    beginning: &Beginning<'_>,
    after_use: AfterUse,
    now: UnixMillis,
) -> Session {
    let Beginning { proof, user, .. } = beginning;
    let credential = &proof.credential.message;
    let config = ctx.directory.cluster_config();
    let user_name = user
        .message
        .metadata
        .as_ref()
        .map_or("", |metadata| metadata.name.as_str());
    let version = match proof.generation {
        Generation::Current { version } | Generation::Overlapping { version, .. } => version,
    };
    let is_recovery = credential
        .status
        .as_ref()
        .is_some_and(|status| status.recovery);
    let caller = beginning.caller;
    session::new_session(NewSession {
        uid: ctx.new_uid(),
        name: session::new_name(user_name, &*ctx.rng),
        user: &user.message,
        credential: (after_use == AfterUse::Keep).then_some((&**credential, version)),
        session_type: beginning.session_type,
        is_browser: false,
        scopes: beginning.scopes.clone(),
        token_id: ctx.new_uid(),
        info: session::credential_info(
            credential,
            proof.claims.token_id,
            session::downstream(caller.ip, &caller.user_agent),
        ),
        lifetimes: session::lifetimes(&user.message, &config, beginning.session_type),
        state: if is_recovery {
            // Nobody is there to approve it.
            State::Active
        } else {
            session::default_state(&user.message, &config)
        },
        now,
    })
}

/// Sessions outlive a Credential that is deleted because it was used as often as it may: that is no revocation.
pub(crate) async fn loosen(
    ctx: &Context,
    transaction: &mut Transaction,
    credential: &Known<Credential>,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let uid = credential.uid.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::CREDENTIAL, &uid, LOOSENED, now).await?;
    for stored in sessions {
        let mut session = stored.message;
        take_over(&mut session, &credential.message);
        if let Some(status) = &mut session.status {
            status.credential_ref = None;
        }
        let document = codec::encode(stored.uid, stored.created_at, &session, SecretWrite::Keep);
        transaction.push(Operation::Put(
            document,
            Expected::Revision(stored.revision),
        ));
    }
    Ok(())
}

/// The Policies of the Credential become those of the Session.
fn take_over(session: &mut Session, credential: &Credential) {
    *session = session::under_credential(session, credential);
}

/// Whether it is worth trying again with what is read anew.
pub(crate) fn is_race(error: &CommitError) -> bool {
    match error {
        CommitError::Conflict { .. } => true,
        // The random name of a Session.
        CommitError::NameTaken { kind, .. } => *kind == Kind::Session,
        CommitError::IndexTaken { .. }
        | CommitError::LimitReached { .. }
        | CommitError::RecordTaken
        | CommitError::Store(_) => false,
    }
}

/// What the caller is told where a Session could not begin.
pub(crate) fn failure(error: CommitError) -> Error {
    match error {
        CommitError::LimitReached { .. } => {
            Error::denied("The User has reached the number of Sessions that it may have")
                .because("session_limit")
        }
        error => error.into(),
    }
}
