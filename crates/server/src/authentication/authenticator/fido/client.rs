//! Step-up of a command-line client with a passkey or security key, through a browser on the same machine.

use api::{
    core_v1::{Authenticator, Session, authenticator::status::info::Fido},
    resource::Object as _,
};
use authn::webauthn::Refusal;
use domain::{authenticator::MAX_PER_USER, id::Uid};

use super::{
    super::usable_by, CeremonyPurpose, Challenge, LIFETIME, fido, options, refused, settings,
    unsealed, verification,
};
use crate::{
    Context, Error,
    document::{index, load},
};

/// A pending request of a client, as the page shows it.
pub(crate) struct ForClient {
    /// The challenge to pass to the browser.
    pub(crate) challenge: Challenge,
    /// Short code that identifies the request. The client shows the same code.
    pub(crate) code: String,
    /// Name of the client's Session.
    pub(crate) session: String,
    /// Name of the User.
    pub(crate) user: String,
}

/// Opens the `state` of a challenge that [`begin_authentication`] returned to a client. Anyone who has the state sees
/// the names of its User and Session. The response is useful only to the client, because finishing needs the tokens of
/// its Session.
///
/// # Errors
/// Returns `PermissionDenied` if the state is invalid or expired.
pub(crate) async fn for_client(ctx: &Context, state: &str) -> Result<ForClient, Error> {
    let ceremony = unsealed(ctx, state).await?;
    if ceremony.purpose != CeremonyPurpose::ClientStepUp as u32 {
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

/// Formats the first four bytes of the challenge for people to compare.
fn code(challenge: &[u8]) -> String {
    match challenge {
        [a, b, c, d, ..] => format!("{a:02X}{b:02X}-{c:02X}{d:02X}"),
        _ => String::new(),
    }
}
