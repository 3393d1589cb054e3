//! A command-line client is raised by way of a browser on its machine.

use api::{
    core_v1::{Authenticator, Session, authenticator::status::info::Fido},
    resource::Object as _,
};
use authn::webauthn::Refusal;
use domain::{authenticator::MAX_PER_USER, id::Uid};

use super::{
    super::usable_by, Aim, Challenge, LIFETIME, fido, options, refused, settings, unsealed,
    verification,
};
use crate::{
    Context, Error,
    resource::{index, load},
};

/// What a client has asked for, as the page shows it that asks the browser.
pub(crate) struct ForClient {
    /// See [`Challenge`].
    pub(crate) challenge: Challenge,
    /// What tells this request from others: the client shows the same.
    pub(crate) code: String,
    /// The name of the client's Session.
    pub(crate) session: String,
    /// Whose it is.
    pub(crate) user: String,
}

/// What is behind the `state` of a challenge that a client has been given by [`begin_authentication`]. Whoever has it
/// is shown whom it is for; the answer is good for nobody but the client, which has the tokens of its Session.
///
/// # Errors
/// `PermissionDenied` where it is none, or too old.
pub(crate) async fn for_client(ctx: &Context, state: &str) -> Result<ForClient, Error> {
    let ceremony = unsealed(ctx, state).await?;
    if ceremony.aim != Aim::RaiseClient as u32 {
        return Err(refused(&Refusal::Challenge));
    }
    let now = ctx.now();
    let uid = Uid::from_bytes(&ceremony.session).map_err(Error::internal)?;
    let session = load::by_uid::<Session>(&*ctx.store, uid, now).await?;
    let session = session.ok_or_else(|| refused(&Refusal::Challenge))?.message;
    let status = session.status.as_ref();
    let user = status.and_then(|status| status.user_ref.clone());
    let user = user.ok_or_else(|| Error::internal("a Session without a User"))?;
    let (all, _) =
        load::by_index::<Authenticator>(&*ctx.store, index::USER, &user.uid, MAX_PER_USER, now)
            .await?;
    let messages: Vec<&Authenticator> = all.iter().map(|stored| &stored.message).collect();
    let allowed: Vec<&Fido> = messages
        .iter()
        .filter(|one| usable_by(&session, one, messages.iter().copied()).is_ok())
        .filter_map(|one| fido(one))
        .collect();
    let verification = verification(&settings(ctx));
    Ok(ForClient {
        code: code(&ceremony.challenge),
        challenge: Challenge {
            options: options::request(ctx, &ceremony.challenge, &allowed, verification, LIFETIME),
            state: state.to_owned(),
        },
        session: session.name().to_owned(),
        user: user.name,
    })
}

/// The first four bytes, for people to compare.
fn code(challenge: &[u8]) -> String {
    match challenge {
        [a, b, c, d, ..] => format!("{a:02X}{b:02X}-{c:02X}{d:02X}"),
        _ => String::new(),
    }
}
