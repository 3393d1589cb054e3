//! Users.

use super::{attrs, authorization, draft::Draft, duration, write::Managed};
use crate::{
    Error, ErrorKind,
    document::{
        codec::{Resource, Stored},
        index,
    },
};
use api::{
    core_v1::{
        Authenticator, Credential, Device, Group, IdentityProvider, Session, User,
        authenticator::spec::State as AuthenticatorState,
        session::spec::State as SessionState,
        user::{Spec, spec, spec::Type},
    },
    resource::Object as _,
};
use domain::kind::Kind;

const EMAIL_BYTES: usize = 150;
const GROUPS: usize = 1000;
const IDENTITIES: usize = 100;
const IDENTIFIER_BYTES: usize = 256;
const INFO_BYTES: usize = 256;
const SESSIONS: u32 = 10_000;

impl Managed for User {
    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        let uid = old.map(|old| old.uid);
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        if matches!(Type::try_from(spec.r#type), Err(_) | Ok(Type::Unknown)) {
            return Err(Error::invalid("spec.type must be HUMAN or WORKLOAD"));
        }
        attrs::check("spec.attrs", spec.attrs.as_ref())?;
        check_info(spec.info.as_ref())?;
        check_session(spec.session.as_ref())?;
        check_email(spec)?;
        check_groups(draft, spec).await?;
        check_identities(draft, spec, old.and_then(|old| old.message.spec())).await?;
        if spec.is_disabled && uid.is_some_and(|uid| draft.author.is_own_user(uid)) {
            return Err(Error::denied("You cannot disable your own User account"));
        }
        check_unique(draft, new, old).await
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        if draft.author.is_own_user(old.uid) {
            return Err(Error::denied("You cannot delete your own User account"));
        }
        // Everything that belongs to the User is deleted in the same transaction. If another object is created
        // meanwhile, the transaction fails and is planned again.
        delete_all::<Credential>(draft, old).await?;
        delete_all::<Authenticator>(draft, old).await?;
        delete_all::<Session>(draft, old).await?;
        delete_all::<Device>(draft, old).await?;
        let uid = old.uid.to_string();
        draft
            .delete_internal_by_index(Kind::Enrollment, index::USER, &uid)
            .await?;
        draft
            .delete_internal(Kind::SecondFactors, old.uid)
            .await
            .map(|_| ())
    }
}

async fn delete_all<T: Resource>(draft: &mut Draft<'_>, user: &Stored<User>) -> Result<(), Error> {
    let uid = user.uid.to_string();
    for dependent in draft.by_index::<T>(index::USER, &uid, u32::MAX).await? {
        draft.delete_dependent(&dependent);
    }
    draft.limit(T::DOCUMENT, index::USER, uid, 1);
    Ok(())
}

fn check_email(spec: &Spec) -> Result<(), Error> {
    let email = &spec.email;
    if email.is_empty() {
        return Ok(());
    }
    if spec.r#type() != Type::Human {
        return Err(Error::invalid("spec.email is for HUMAN Users only"));
    }
    let is_address = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let is_plain = email
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
    if is_address && is_plain && email.len() <= EMAIL_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "spec.email {email:?} is invalid: it must be an address of at most {EMAIL_BYTES} ASCII characters in \
         lowercase, such as alice@example.com"
    )))
}

fn check_info(info: Option<&spec::Info>) -> Result<(), Error> {
    let Some(info) = info else { return Ok(()) };
    let fields = [
        ("locale", &info.locale),
        ("phone", &info.phone),
        ("firstName", &info.first_name),
        ("middleName", &info.middle_name),
        ("lastName", &info.last_name),
        ("website", &info.website),
        ("country", &info.country),
    ];
    for (field, text) in fields {
        if text.len() > INFO_BYTES {
            return Err(Error::invalid(format!(
                "spec.info.{field} has {} bytes; at most {INFO_BYTES} are allowed",
                text.len()
            )));
        }
    }
    Ok(())
}

fn check_session(session: Option<&spec::Session>) -> Result<(), Error> {
    let Some(session) = session else {
        return Ok(());
    };
    let durations = [
        ("clientDuration", &session.client_duration),
        ("clientlessDuration", &session.clientless_duration),
        ("accessTokenDuration", &session.access_token_duration),
        ("refreshTokenDuration", &session.refresh_token_duration),
    ];
    for (field, value) in durations {
        duration::check(&format!("spec.session.{field}"), value.as_ref())?;
    }
    if session.max_per_user > SESSIONS {
        return Err(Error::invalid(format!(
            "spec.session.maxPerUser is {}; at most {SESSIONS} are allowed",
            session.max_per_user
        )));
    }
    match SessionState::try_from(session.default_state) {
        Ok(SessionState::Unknown | SessionState::Active | SessionState::Pending) => Ok(()),
        _ => Err(Error::invalid(
            "spec.session.defaultState must be ACTIVE or PENDING, or left out",
        )),
    }
}

async fn check_groups(draft: &mut Draft<'_>, spec: &Spec) -> Result<(), Error> {
    if spec.groups.len() > GROUPS {
        return Err(Error::invalid(format!(
            "spec.groups has {} entries; at most {GROUPS} are allowed",
            spec.groups.len()
        )));
    }
    for (index, name) in spec.groups.iter().enumerate() {
        if spec.groups.iter().take(index).any(|other| other == name) {
            return Err(Error::invalid(format!("spec.groups has {name} twice")));
        }
        if draft.require::<Group>(name).await?.is_none() {
            return Err(Error::invalid(format!("The Group {name} does not exist")));
        }
    }
    Ok(())
}

async fn check_identities(
    draft: &mut Draft<'_>,
    spec: &Spec,
    before: Option<&Spec>,
) -> Result<(), Error> {
    let Some(authentication) = &spec.authentication else {
        return Ok(());
    };
    match AuthenticatorState::try_from(authentication.authenticator_default_state) {
        Ok(
            AuthenticatorState::Unknown | AuthenticatorState::Active | AuthenticatorState::Pending,
        ) => {}
        _ => {
            return Err(Error::invalid(
                "spec.authentication.authenticatorDefaultState must be ACTIVE or PENDING, or left out",
            ));
        }
    }
    let identities = &authentication.identities;
    if identities.len() > IDENTITIES {
        return Err(Error::invalid(format!(
            "spec.authentication.identities has {} entries; at most {IDENTITIES} are allowed",
            identities.len()
        )));
    }
    for (index, identity) in identities.iter().enumerate() {
        let path = format!("spec.authentication.identities[{index}]");
        let provider = &identity.identity_provider;
        let before = before.and_then(|before| before.authentication.as_ref());
        // An IdentityProvider may be deleted while it is named.
        let is_known = before.is_some_and(|before| before.identities.contains(identity));
        if !is_known && draft.find::<IdentityProvider>(provider).await?.is_none() {
            return Err(Error::invalid(format!(
                "The IdentityProvider {provider} does not exist"
            )));
        }
        let identifier = &identity.identifier;
        if identifier.is_empty() || identifier.len() > IDENTIFIER_BYTES || identifier.contains('\0')
        {
            return Err(Error::invalid(format!(
                "{path}.identifier must have 1 to {IDENTIFIER_BYTES} bytes"
            )));
        }
        if identities.iter().take(index).any(|other| other == identity) {
            return Err(Error::invalid(format!("{path} is given twice")));
        }
    }
    Ok(())
}

/// Reports a unique value of another User with a clear message. The store would refuse it too, but without details.
async fn check_unique(
    draft: &mut Draft<'_>,
    new: &User,
    old: Option<&Stored<User>>,
) -> Result<(), Error> {
    for entry in new.indexes().into_iter().filter(|entry| entry.unique) {
        let holders = draft.by_index::<User>(entry.index, &entry.value, 2).await?;
        let taken = holders
            .iter()
            .any(|holder| Some(holder.uid) != old.map(|old| old.uid));
        if !taken {
            continue;
        }
        let message = match entry.value.split_once('\0') {
            None => format!(
                "The email `{}` already exists for another User",
                entry.value
            ),
            Some((provider, identifier)) => format!(
                "The identifier `{identifier}` of the IdentityProvider {provider} already exists for another User"
            ),
        };
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    Ok(())
}
