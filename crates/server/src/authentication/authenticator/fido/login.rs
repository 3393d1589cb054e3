//! Login with a passkey alone.

use api::{
    core_v1::{
        Authenticator, User,
        cluster_config::spec::authenticator::rule::Effect,
        session::status::authentication::{
            Info,
            info::authenticator::{Mode, info::Fido as Facts},
        },
        user,
    },
    resource::Object as _,
};
use authn::webauthn::AuthenticationJson;
use aws_lc_rs::digest;
use domain::{authenticator, id::Uid, kind::Kind, session};
use store::{Expected, Operation, SecretWrite, Transaction};

use super::{
    super::step_up, Ceremony, CeremonyPurpose, Challenge, LOGIN_LIFETIME, NotProven,
    UserVerification, begun, check, cloned, new_challenge, open, options, refused, set_pending,
    unknown, used_already,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    authentication::browser::{self, BrowserLogin, BrowserLoginMethod, NewBrowserSession},
    document::{
        codec::{self, Stored},
        index, load,
    },
    transaction::Attempts,
};

const EVENT: &str = "session.created";

/// A verified passkey.
pub(crate) struct Passkey {
    /// The Authenticator as it was read.
    stored: Stored<Authenticator>,
    /// The Authenticator as the response changed it.
    used: Authenticator,
    facts: Facts,
    operation: Operation,
}

impl Passkey {
    /// Returns the authentication info of a Session that this passkey creates.
    pub(crate) fn info(&self, ctx: &Context, caller: &Caller) -> Info {
        session::authenticator_info(
            &self.used,
            Mode::Passkey,
            Some(self.facts.clone()),
            ctx.client_origin(caller),
        )
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.used
    }

    /// Adds the operations that redeem the challenge and update the Authenticator.
    pub(crate) fn redeem(&self, transaction: &mut Transaction) {
        let mut used = self.used.clone();
        authenticator::record(&mut used, true, transaction.now);
        transaction.push(self.operation.clone());
        transaction.push(self.put(&used));
    }

    fn put(&self, used: &Authenticator) -> Operation {
        Operation::Put(
            codec::encode(
                self.stored.uid,
                self.stored.created_at,
                used,
                SecretWrite::Keep,
            ),
            Expected::Revision(self.stored.revision),
        )
    }
}

/// Begins a login with any passkey of this Cluster.
///
/// # Errors
/// Returns `PermissionDenied` unless `spec.authenticator.enablePasskeyLogin` is set in the `ClusterConfig`.
pub(crate) fn begin_login(ctx: &Context) -> Result<Challenge, Error> {
    check_enabled(ctx)?;
    let challenge = new_challenge(ctx);
    let options = options::request(
        ctx,
        &challenge,
        &[],
        UserVerification::Required,
        LOGIN_LIFETIME,
    );
    let ceremony = Ceremony {
        purpose: CeremonyPurpose::Login as u32,
        challenge,
        session: Vec::new(),
        authenticator: Vec::new(),
    };
    begun(ctx, options, &ceremony, LOGIN_LIFETIME)
}

/// Returns whether login with a passkey alone is enabled.
pub(crate) fn is_enabled(ctx: &Context) -> bool {
    let config = ctx.directory.cluster_config();
    let spec = config.spec.as_ref();
    let authenticator = spec.and_then(|spec| spec.authenticator.as_ref());
    authenticator.is_some_and(|authenticator| authenticator.enable_passkey_login)
}

fn check_enabled(ctx: &Context) -> Result<(), Error> {
    if is_enabled(ctx) {
        return Ok(());
    }
    Err(Error::denied(
        "Login with a passkey is not enabled in this Cluster: an administrator can set \
         spec.authenticator.enablePasskeyLogin in the ClusterConfig",
    )
    .because("passkey_login_disabled"))
}

/// Creates the Session of the User who answered [`begin_login`]. `former` is the current Session of the browser, which
/// ends.
///
/// # Errors
/// Returns `PermissionDenied` if the response is wrong, the rules of the Cluster deny it, or the User cannot log in.
pub(crate) async fn login(
    ctx: &Context,
    former: Option<Uid>,
    state: &str,
    response: &str,
    caller: &Caller,
) -> Result<NewBrowserSession, Error> {
    let mut claimed = ClaimedIdentity::default();
    let outcome = Box::pin(attempts(ctx, former, state, response, caller, &mut claimed)).await;
    outcome.inspect_err(|error| {
        if let Some(reason) = error.reason() {
            let entry = Entry {
                event_type: EVENT,
                resource: claimed
                    .authenticator
                    .as_ref()
                    .and_then(Authenticator::metadata)
                    .map(|metadata| (Kind::Authenticator, metadata)),
                user: claimed.user.as_ref().and_then(User::metadata),
                session: None,
            };
            ctx.audit.add(audit::refused(ctx, caller, entry, reason));
        }
    })
}

/// The claimed identity, for the audit event.
#[derive(Default)]
struct ClaimedIdentity {
    authenticator: Option<Authenticator>,
    user: Option<User>,
}

async fn attempts(
    ctx: &Context,
    former: Option<Uid>,
    state: &str,
    response: &str,
    caller: &Caller,
    claimed: &mut ClaimedIdentity,
) -> Result<NewBrowserSession, Error> {
    check_enabled(ctx)?;
    let ceremony = open(ctx, state, CeremonyPurpose::Login, None).await?;
    let answer = AuthenticationJson::read(response).map_err(|why| refused(&why))?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let (stored, owner) = find(ctx, &answer).await?;
        claimed.authenticator = Some(stored.message.clone());
        claimed.user = Some(owner.message.clone());
        if !authenticator::is_usable(&stored.message) {
            return Err(Error::denied(
                "This passkey is not ACTIVE: an administrator must approve it",
            )
            .because("authenticator_inactive"));
        }
        let checked = check(ctx, &owner.message, &stored, &ceremony, &answer, true);
        let (used, facts) = match checked {
            Ok(checked) => checked,
            Err(NotProven::Refused(error)) => return Err(error),
            Err(NotProven::Cloned) => {
                set_pending(ctx, &stored, &ceremony, None, caller).await?;
                return Err(cloned());
            }
        };
        let passkey = Passkey {
            stored,
            used,
            facts,
            operation: ceremony.used(ctx),
        };
        check_rules(ctx, &owner.message, &passkey, caller).await?;
        let login = BrowserLogin {
            user: owner.uid,
            method: BrowserLoginMethod::Passkey(Box::new(passkey)),
            former,
        };
        match browser::log_in(ctx, &login, caller, check_human).await {
            // The passkey was used elsewhere at the same time.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) if error.reason() == Some("used_already") => return Err(used_already()),
            outcome => return outcome,
        }
    }
}

fn check_human(user: &User) -> Result<(), Error> {
    if user.spec.as_ref().map(user::Spec::r#type) == Some(user::spec::Type::Human) {
        Ok(())
    } else {
        Err(unknown())
    }
}

/// Returns the Authenticator of the credential, and its User.
async fn find(
    ctx: &Context,
    answer: &AuthenticationJson,
) -> Result<(Stored<Authenticator>, Stored<User>), Error> {
    let now = ctx.now();
    let hash = digest::digest(&digest::SHA256, &answer.credential_id);
    let key = index::hex(hash.as_ref());
    let (found, _) =
        load::by_index::<Authenticator>(&*ctx.store, index::FIDO_ID, &key, 1, now).await?;
    let stored = found.into_iter().next().ok_or_else(unknown)?;
    let status = stored.message.status.as_ref();
    let owner = status.and_then(|status| status.user_ref.as_ref());
    let owner = owner.and_then(|owner| owner.uid.parse::<Uid>().ok());
    let owner = owner.ok_or_else(unknown)?;
    let user = load::by_uid::<User>(&*ctx.store, owner, now).await?;
    Ok((stored, user.ok_or_else(unknown)?))
}

/// Evaluates the post-authentication rules. The challenge is redeemed even if they deny.
async fn check_rules(
    ctx: &Context,
    owner: &User,
    passkey: &Passkey,
    caller: &Caller,
) -> Result<(), Error> {
    let now = ctx.now();
    let info = passkey.info(ctx, caller);
    let rules = ctx.directory.authenticator_rules();
    let found = rules.post_authentication(owner, None, &passkey.used, &info, now);
    let Some((Effect::Deny | Effect::Unknown, error)) = found else {
        return Ok(());
    };
    if let Some(error) = error {
        tracing::warn!(error, "a rule cannot be evaluated; the request is denied");
    }
    let mut used = passkey.used.clone();
    authenticator::record(&mut used, false, now);
    let mut transaction = Transaction::at(now);
    transaction.push(passkey.operation.clone());
    transaction.push(passkey.put(&used));
    step_up::commit(ctx, transaction).await?;
    Err(step_up::denied_by_rule())
}
