//! Maps an external identity to a User, and updates the Groups that the provider controls.
//!
//! The User is found by the identity, or by an email address that the provider vouches for. Otherwise the first login
//! creates the User if a rule of the provider allows it.

use std::{collections::BTreeSet, sync::Arc};

use api::{
    core_v1::{
        IdentityProvider, User,
        user::{
            self,
            spec::{self, authentication::Identity},
        },
    },
    meta_v1::Metadata,
    resource::Object as _,
};
use authn::provider::ExternalIdentity;
use domain::{clock::UnixMillis, id::Uid, rng::random_string};
use policy::Facts;

use super::{
    identity::{IdentityFailed, Lifetime, ProvenIdentity, claims},
    secret::check_user,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    directory::{Membership, ProviderEntry},
    document::{codec::Stored, index, load},
    resource::{
        author::Author,
        draft::Draft,
        write::{self, Plan, transact},
    },
};

const OPERATION: &str = "login";
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: usize = 6;
/// Leaves room for the suffix in a name.
const LONGEST_HEAD: usize = 33;

/// Returns the User of `external`, after checking that the User can log in with it.
pub(crate) async fn identify(
    ctx: &Context,
    entry: &Arc<ProviderEntry>,
    external: ExternalIdentity,
    assertion: &str,
    caller: &Caller,
) -> Result<(Uid, ProvenIdentity), IdentityFailed> {
    let now = ctx.now();
    let claims = claims(&external.claims);
    let email = external.email.as_deref().unwrap_or_default();
    let facts = Facts::provisioning(assertion, &claims, &external.identifier, email);
    let failed = |error: Error, user: Option<&Stored<User>>| IdentityFailed {
        user: user.and_then(|user| user.message.metadata.clone().map(Box::new)),
        identifier: Some(external.identifier.clone()),
        ..IdentityFailed::at(error, entry)
    };
    let membership = entry.membership(&facts, now).map_err(|error| {
        tracing::warn!(
            identity_provider = entry.name(),
            error,
            "the Groups of a User cannot be determined"
        );
        let public = "The group information from your identity provider cannot be read. Ask an administrator.";
        failed(Error::denied(public).because("provider_groups"), None)
    })?;
    let known = find(ctx, entry, &external, now)
        .await
        .map_err(|error| failed(error, None))?;
    let identity = ProvenIdentity {
        provider: entry.provider.clone(),
        aal: entry.aal(&Facts::aal(assertion, &claims), now),
        identifier: external.identifier.clone(),
        email: email.to_owned(),
        pic_url: external.picture.clone().unwrap_or_default(),
        saml: None,
        oidc: None,
        authenticated: external.authenticated,
        records: Vec::new(),
        lifetime: Lifetime::Settings,
    };
    let check = |user: &User| {
        if entry.allows(user, &identity.info(ctx, caller), now) {
            return Ok(());
        }
        let public =
            "The rules of this Cluster do not allow you to sign in with this identity provider.";
        Err(Error::denied(public).because("provider_rule"))
    };
    let user = if let Some(user) = known {
        user
    } else {
        let new_user = new_user(ctx, entry, &external, &facts, &membership, now)
            .map_err(|error| failed(error, None))?;
        // An identity that is denied does not create a User.
        check(&new_user.user).map_err(|error| failed(error, None))?;
        create(ctx, entry, &external, &new_user, now)
            .await
            .map_err(|error| failed(error, None))?
    };
    let is_human = user
        .message
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Human);
    if !is_human {
        let error = Error::denied("Only people can sign in here: this User is not a person.");
        return Err(failed(error.because("user_type"), Some(&user)));
    }
    check_user(&user.message).map_err(|error| failed(error, Some(&user)))?;
    // The Groups are updated first, because the rules below must see them.
    let user = update_groups(ctx, user.clone(), &membership)
        .await
        .map_err(|error| failed(error, Some(&user)))?;
    check(&user.message).map_err(|error| failed(error, Some(&user)))?;
    Ok((user.uid, identity))
}

async fn find(
    ctx: &Context,
    entry: &ProviderEntry,
    external: &ExternalIdentity,
    now: UnixMillis,
) -> Result<Option<Stored<User>>, Error> {
    let key = index::identity_key(entry.name(), &external.identifier);
    let (found, _) = load::by_index::<User>(&*ctx.store, index::IDENTITY, &key, 1, now).await?;
    if let Some(user) = found.into_iter().next() {
        return Ok(Some(user));
    }
    let Some(email) = external.email.as_deref().filter(|_| entry.finds_by_email()) else {
        return Ok(None);
    };
    let (found, _) = load::by_index::<User>(&*ctx.store, index::EMAIL, email, 1, now).await?;
    // A User that already has an identity at the provider is not matched by email. The address may belong to another
    // person by now.
    Ok(found
        .into_iter()
        .find(|user| !has_identity(&user.message, entry.name())))
}

fn has_identity(user: &User, provider: &str) -> bool {
    let authentication = user
        .spec
        .as_ref()
        .and_then(|spec| spec.authentication.as_ref());
    let mut identities = authentication.into_iter().flat_map(|of| &of.identities);
    identities.any(|identity| identity.identity_provider == provider)
}

/// Builds the User for an unknown identity, if the provider's rules allow it.
fn new_user(
    ctx: &Context,
    entry: &ProviderEntry,
    external: &ExternalIdentity,
    facts: &Facts,
    membership: &Membership,
    now: UnixMillis,
) -> Result<NewUser, Error> {
    let Some(groups) = entry.creates(facts, now) else {
        let public = "Your sign-in at the identity provider succeeded, but you are not a User of this Cluster. Ask an \
                      administrator to add you.";
        return Err(Error::denied(public).because("identity_unknown"));
    };
    let head = head(external);
    let groups = membership.apply(groups.iter().cloned());
    let email = external.email.clone().unwrap_or_default();
    Ok(NewUser {
        user: User {
            metadata: Some(Metadata {
                // The random suffix keeps a new User from taking a name that a Policy may already refer to.
                name: format!(
                    "{head}-{}",
                    random_string(&*ctx.rng, ALPHABET, SUFFIX_LENGTH)
                ),
                display_name: external.name.clone().unwrap_or_default(),
                pic_url: external.picture.clone().unwrap_or_default(),
                ..Metadata::default()
            }),
            spec: Some(user::Spec {
                r#type: spec::Type::Human.into(),
                email,
                groups: groups.into_iter().collect(),
                authentication: Some(spec::Authentication {
                    identities: vec![Identity {
                        identity_provider: entry.name().to_owned(),
                        identifier: external.identifier.clone(),
                    }],
                    ..spec::Authentication::default()
                }),
                ..user::Spec::default()
            }),
            ..User::default()
        },
        provider: entry.provider.uid,
    })
}

/// Creates the User.
async fn create(
    ctx: &Context,
    entry: &ProviderEntry,
    external: &ExternalIdentity,
    plan: &NewUser,
    now: UnixMillis,
) -> Result<Stored<User>, Error> {
    match transact(ctx, &Author::cluster(OPERATION), plan).await {
        Ok(uid) => {
            let user = load::by_uid::<User>(&*ctx.store, uid, now).await?;
            user.ok_or_else(|| Error::unavailable("a new User no longer exists"))
        }
        // A concurrent login of the same person was faster, or another User has the address.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let key = index::identity_key(entry.name(), &external.identifier);
            let found = load::by_index::<User>(&*ctx.store, index::IDENTITY, &key, 1, now).await?;
            found.0.into_iter().next().ok_or_else(|| {
                let public = "Another User of this Cluster has your e-mail address. Ask an administrator to add this \
                              sign-in method to that User.";
                Error::denied(public).because("email_taken")
            })
        }
        Err(error) => Err(error),
    }
}

/// Updates the Groups of the User to those that the provider assigns.
async fn update_groups(
    ctx: &Context,
    user: Stored<User>,
    membership: &Membership,
) -> Result<Stored<User>, Error> {
    let groups = user.message.spec.as_ref().map(|spec| &spec.groups);
    let present: BTreeSet<String> = groups.into_iter().flatten().cloned().collect();
    if membership.apply(present.iter().cloned()) == present {
        return Ok(user);
    }
    let plan = GroupUpdate {
        user: user.uid,
        membership,
    };
    transact(ctx, &Author::cluster(OPERATION), &plan).await?;
    ctx.directory.forget(&[user.uid]);
    let updated = load::by_uid::<User>(&*ctx.store, user.uid, ctx.now()).await?;
    updated.ok_or_else(|| Error::denied("This User no longer exists.").because("user_gone"))
}

/// A User created at the first login.
struct NewUser {
    user: User,
    provider: Uid,
}

impl Plan for NewUser {
    type Output = Uid;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<Uid, Error> {
        // The provider's rule may have changed in the meantime.
        if let Some(provider) = draft.find_by_uid::<IdentityProvider>(self.provider).await? {
            draft.hold(&provider);
        }
        let created = write::create(draft, self.user.clone()).await?;
        created.uid().parse().map_err(Error::internal)
    }
}

/// An update of a User's Groups by the provider.
struct GroupUpdate<'a> {
    user: Uid,
    membership: &'a Membership,
}

impl Plan for GroupUpdate<'_> {
    type Output = ();

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let Some(old) = draft.find_by_uid::<User>(self.user).await? else {
            return Ok(());
        };
        let mut sent = old.message.clone();
        if let Some(spec) = &mut sent.spec {
            let groups = self.membership.apply(std::mem::take(&mut spec.groups));
            spec.groups = groups.into_iter().collect();
        }
        write::update(draft, &old, sent).await.map(|_| ())
    }
}

/// Derives the readable part of a User's name from the provider's claims.
fn head(external: &ExternalIdentity) -> String {
    let claim = |name: &str| external.claims.get(name).and_then(|value| value.as_str());
    let called = claim("preferred_username")
        .or_else(|| claim("login"))
        .or(external.email.as_deref())
        .or(external.name.as_deref())
        .unwrap_or_default();
    let called = called.split('@').next().unwrap_or_default();
    let mut head = String::new();
    for character in called.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || (character.is_ascii_digit() && !head.is_empty()) {
            head.push(character);
        } else if !head.is_empty() && !head.ends_with('-') {
            head.push('-');
        }
        if head.len() == LONGEST_HEAD {
            break;
        }
    }
    let head = head.trim_end_matches('-');
    if head.is_empty() { "user" } else { head }.to_owned()
}

#[cfg(test)]
mod tests {
    use authn::provider::AuthenticationTime;
    use serde_json::{Map, json};

    use super::*;

    fn called(claims: &serde_json::Value) -> String {
        let claims: Map<_, _> = claims.as_object().unwrap().clone();
        head(&ExternalIdentity {
            identifier: "1".to_owned(),
            email: Some("mail@example.com".to_owned()),
            name: None,
            picture: None,
            claims,
            authenticated: AuthenticationTime::default(),
        })
    }

    #[test]
    fn names_are_generated_from_the_identity_of_the_provider() {
        assert_eq!(
            called(&json!({"preferred_username": "Alice.Smith"})),
            "alice-smith"
        );
        assert_eq!(called(&json!({"login": "octo-cat"})), "octo-cat");
        assert_eq!(called(&json!({})), "mail");
        assert_eq!(called(&json!({"preferred_username": "--1a--b--"})), "a-b");
        assert_eq!(
            called(&json!({"preferred_username": "\u{e9}\u{e8}"})),
            "user"
        );
        assert_eq!(
            called(&json!({"preferred_username": "a".repeat(99)})).len(),
            33
        );
        assert_eq!(called(&json!({"preferred_username": "root@evil"})), "root");
    }
}
