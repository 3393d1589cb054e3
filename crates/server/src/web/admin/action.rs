//! Actions on objects and the API methods that they call.

use ::api::{
    core_v1::{Authenticator, Credential, Device, Session, authenticator, device, session, user},
    meta_v1::{DeleteOptions, ObjectReference, OperationResult},
    platform_v1::{
        ResetAuthenticatorsRequest, ResetAuthenticatorsResponse, Resource, RevokeEnrollmentRequest,
        RevokeEnrollmentResponse, RotateCredentialRequest, resource::Resource as Body,
    },
    resource::Object,
};
use domain::kind::Kind;

use super::{
    api::{Api, core, platform},
    kind::ConsoleKind,
    list,
};
use crate::{Error, web::failure::Failure};

/// Maximum number of rounds in which [`end_all`] deletes Sessions.
const ENDINGS: usize = 10;

/// An action on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Rotates the secret of a Credential.
    Rotate,
    /// Disables a Credential temporarily.
    Disable,
    /// Enables a disabled Credential.
    Enable,
    /// Deletes a Credential.
    Delete,
    /// Deletes a Session.
    End,
    /// Deletes all Sessions of a User.
    EndAll,
    /// Approves a Session, Device or Authenticator.
    Approve,
    /// Rejects a Session, Device or Authenticator.
    Reject,
    /// Creates an enrollment link, which signs a person in once.
    Link,
    /// Revokes the unused enrollment links of a User.
    RevokeLinks,
    /// Deletes all Authenticators of a User.
    ResetAuthenticators,
}

/// Effect of an action on the object.
pub(super) enum Outcome {
    /// The object still exists.
    Changed,
    /// The object is deleted.
    Gone,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Rotate,
        Self::Disable,
        Self::Enable,
        Self::Delete,
        Self::End,
        Self::EndAll,
        Self::Approve,
        Self::Reject,
        Self::Link,
        Self::RevokeLinks,
        Self::ResetAuthenticators,
    ];

    /// Returns the actions available for an object in its current state.
    pub(super) fn on(resource: &Resource) -> Vec<Self> {
        match &resource.resource {
            Some(Body::Credential(credential)) => {
                let is_disabled = credential.spec().is_some_and(|spec| spec.is_disabled);
                let switch = if is_disabled {
                    Self::Enable
                } else {
                    Self::Disable
                };
                vec![Self::Rotate, switch, Self::Delete]
            }
            Some(Body::Session(session)) => {
                let mut actions =
                    decisions(session.spec().map(session::Spec::state).map(Into::into));
                actions.push(Self::End);
                actions
            }
            Some(Body::Device(device)) => {
                let mut actions = decisions(device.spec().map(device::Spec::state).map(Into::into));
                actions.push(Self::Delete);
                actions
            }
            Some(Body::Authenticator(authenticator)) => {
                let state = authenticator.spec().map(authenticator::Spec::state);
                let mut actions = decisions(state.map(Into::into));
                actions.push(Self::Delete);
                actions
            }
            Some(Body::User(user)) => {
                let is_person =
                    user.spec().map(user::Spec::r#type) == Some(user::spec::Type::Human);
                let links = [Self::Link, Self::RevokeLinks];
                let links = links.into_iter().filter(|_| is_person);
                links
                    .chain([Self::EndAll, Self::ResetAuthenticators])
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the action with this name in addresses.
    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// Returns the name in addresses.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
            Self::End => "end",
            Self::EndAll => "end-sessions",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Link => "link",
            Self::RevokeLinks => "revoke-links",
            Self::ResetAuthenticators => "reset-authenticators",
        }
    }

    /// Returns the label of the button.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Rotate => "Rotate the secret",
            Self::Disable => "Disable",
            Self::Enable => "Enable",
            Self::Delete => "Delete",
            Self::End => "End",
            Self::EndAll => "End all Sessions",
            Self::Approve => "Approve",
            Self::Reject => "Reject",
            Self::Link => "Create a sign-in link",
            Self::RevokeLinks => "Revoke sign-in links",
            Self::ResetAuthenticators => "Reset Authenticators",
        }
    }

    /// Explains the consequences before confirmation.
    pub(super) fn explained(self, kind: Kind) -> String {
        match self {
            Self::Rotate => "Creates a new secret and shows it once. Choose below what happens to the current secret.".to_owned(),
            Self::Disable => "It cannot be used to authenticate until it is enabled again. Its Sessions, their tokens and open connections stop working at once.".to_owned(),
            Self::Enable => "It can be used to authenticate again. Its Sessions that have not expired work again.".to_owned(),
            Self::Delete if kind == Kind::Credential => "This cannot be undone. Its Sessions, their tokens and open connections stop working at once.".to_owned(),
            Self::Delete => "This cannot be undone. Sessions that depend on it stop working at once, with their tokens and open connections.".to_owned(),
            Self::End => "Its tokens and open connections stop working at once. To continue, its User must sign in again.".to_owned(),
            Self::EndAll => "Signs out all browsers, terminals and workloads of this User at once. If this is your own User, your current Session does not end.".to_owned(),
            Self::Approve => format!("The {kind} can be used from now on, if the Policies allow it."),
            Self::Link => "Anyone who opens the link is signed in as this User. The link works once and is shown once. Give it only to that person.".to_owned(),
            Self::RevokeLinks => "Unused sign-in links of this User stop working. Sessions that were created with a link do not end.".to_owned(),
            Self::ResetAuthenticators => "Use this if the User has lost them. It deletes all Authenticators of this User, the recovery codes and the count of wrong codes. Sessions that were created with one of the Authenticators, or are bound to one, end at once. The User can add new ones after the next sign-in.".to_owned(),
            Self::Reject => format!("The {kind} can no longer be used. Anything that uses it now stops working at once."),
        }
    }

    /// Returns the message after success.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Rotate => "The secret was rotated.",
            Self::Disable => "It is disabled.",
            Self::Enable => "It is enabled.",
            Self::Delete => "It is deleted.",
            Self::End => "It has ended.",
            Self::EndAll => "The Sessions have ended.",
            Self::Approve => "It is approved.",
            Self::Reject => "It is rejected.",
            Self::Link => "The link was created.",
            Self::RevokeLinks => "The links no longer work.",
            Self::ResetAuthenticators => "The Authenticators were deleted.",
        }
    }

    /// Returns whether the action takes access away.
    pub(super) fn is_dangerous(self) -> bool {
        !matches!(
            self,
            Self::Enable | Self::Approve | Self::Rotate | Self::Link
        )
    }

    /// Returns the address of the confirmation page.
    pub(super) fn place(self, console_kind: &ConsoleKind, name: &str) -> String {
        format!("{}/{name}/{}", console_kind.place(), self.word())
    }

    /// Returns whether the Session may call all methods that the action needs on this kind.
    pub(super) fn is_allowed(self, api: &Api, kind: Kind) -> bool {
        self.methods(kind).iter().all(|path| api.allows(path))
    }

    fn methods(self, kind: Kind) -> Vec<String> {
        match self {
            Self::Rotate => vec![platform("RotateCredential")],
            Self::Disable | Self::Enable | Self::Approve | Self::Reject => {
                vec![core(&format!("Get{kind}")), core(&format!("Update{kind}"))]
            }
            Self::Delete | Self::End => vec![core(&format!("Delete{kind}"))],
            Self::EndAll => vec![core("ListSession"), core("DeleteSession")],
            Self::Link => vec![platform("CreateEnrollment")],
            Self::RevokeLinks => vec![platform("RevokeEnrollment")],
            Self::ResetAuthenticators => vec![platform("ResetAuthenticators")],
        }
    }

    /// Executes the action.
    ///
    /// # Errors
    /// Returns the error of the API call.
    pub(super) async fn execute(
        self,
        api: &Api,
        own_session: &str,
        resource: Resource,
    ) -> Result<Outcome, Failure> {
        match (self, resource.resource) {
            (Self::Disable | Self::Enable, Some(Body::Credential(mut credential))) => {
                credential.spec_mut().is_disabled = self == Self::Disable;
                update::<Credential>(api, &credential).await?;
            }
            (Self::Delete, Some(Body::Credential(credential))) => {
                delete(api, Kind::Credential, credential.uid()).await?;
                return Ok(Outcome::Gone);
            }
            (Self::Delete, Some(Body::Device(device))) => {
                delete(api, Kind::Device, device.uid()).await?;
                return Ok(Outcome::Gone);
            }
            (Self::Delete, Some(Body::Authenticator(authenticator))) => {
                delete(api, Kind::Authenticator, authenticator.uid()).await?;
                return Ok(Outcome::Gone);
            }
            (Self::RevokeLinks, Some(Body::User(user))) => {
                let request = RevokeEnrollmentRequest {
                    user_ref: Some(user.reference()),
                    ..RevokeEnrollmentRequest::default()
                };
                api.ask::<_, RevokeEnrollmentResponse>(&platform("RevokeEnrollment"), &request)
                    .await?;
            }
            (Self::ResetAuthenticators, Some(Body::User(user))) => {
                let request = ResetAuthenticatorsRequest {
                    user_ref: Some(user.reference()),
                };
                let path = platform("ResetAuthenticators");
                api.ask::<_, ResetAuthenticatorsResponse>(&path, &request)
                    .await?;
            }
            (Self::End, Some(Body::Session(session))) => {
                delete(api, Kind::Session, session.uid()).await?;
                return Ok(Outcome::Gone);
            }
            (Self::EndAll, Some(Body::User(user))) => {
                end_all(api, user.name(), own_session).await?;
            }
            (Self::Approve | Self::Reject, Some(Body::Session(mut session))) => {
                let state = match self {
                    Self::Approve => session::spec::State::Active,
                    _ => session::spec::State::Rejected,
                };
                session.spec_mut().set_state(state);
                update::<Session>(api, &session).await?;
            }
            (Self::Approve | Self::Reject, Some(Body::Device(mut device))) => {
                let state = match self {
                    Self::Approve => device::spec::State::Active,
                    _ => device::spec::State::Rejected,
                };
                device.spec_mut().set_state(state);
                update::<Device>(api, &device).await?;
            }
            (Self::Approve | Self::Reject, Some(Body::Authenticator(mut authenticator))) => {
                let state = match self {
                    Self::Approve => authenticator::spec::State::Active,
                    _ => authenticator::spec::State::Rejected,
                };
                authenticator.spec_mut().set_state(state);
                update::<Authenticator>(api, &authenticator).await?;
            }
            _ => return Err(Failure::not_found()),
        }
        Ok(Outcome::Changed)
    }
}

/// Returns the request that rotates a Credential. Only its response contains the new secret.
pub(super) fn rotation(resource: &Resource) -> RotateCredentialRequest {
    RotateCredentialRequest {
        credential_ref: Some(ObjectReference {
            uid: resource.uid().to_owned(),
            name: resource.name().to_owned(),
            ..ObjectReference::default()
        }),
        ..RotateCredentialRequest::default()
    }
}

/// Approval state of Sessions, Devices and Authenticators, whose enumerations have the same variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApprovalState {
    Approved,
    Rejected,
    Open,
}

macro_rules! decided {
    ($($state:path),*) => {
        $(impl From<$state> for ApprovalState {
            fn from(state: $state) -> Self {
                use $state as State;
                match state {
                    State::Active => Self::Approved,
                    State::Rejected => Self::Rejected,
                    State::Pending | State::Unknown => Self::Open,
                }
            }
        })*
    };
}

decided!(
    session::spec::State,
    device::spec::State,
    authenticator::spec::State
);

fn decisions(decided: Option<ApprovalState>) -> Vec<Action> {
    match decided.unwrap_or(ApprovalState::Open) {
        ApprovalState::Approved => vec![Action::Reject],
        ApprovalState::Rejected => vec![Action::Approve],
        ApprovalState::Open => vec![Action::Approve, Action::Reject],
    }
}

async fn update<T: Object>(api: &Api, object: &T) -> Result<(), Error> {
    let path = core(&format!("Update{}", T::KIND));
    api.ask::<T, T>(&path, object).await?;
    Ok(())
}

async fn delete(api: &Api, kind: Kind, uid: &str) -> Result<(), Error> {
    let which = DeleteOptions {
        uid: uid.to_owned(),
        ..DeleteOptions::default()
    };
    let path = core(&format!("Delete{kind}"));
    api.ask::<_, OperationResult>(&path, &which).await?;
    Ok(())
}

/// Ends all Sessions of `user` except `own_session`. Sessions that are created meanwhile are ended too, for at most
/// [`ENDINGS`] rounds.
async fn end_all(api: &Api, user: &str, own_session: &str) -> Result<(), Failure> {
    let sessions = ConsoleKind::named("session")?;
    for _ in 0..ENDINGS {
        let (found, has_more) = list::owned(api, sessions, user).await?;
        let uids = found.iter().map(|session| session.uid().to_owned());
        let others: Vec<String> = uids.filter(|uid| uid != own_session).collect();
        if others.is_empty() && !has_more {
            return Ok(());
        }
        for uid in others {
            match delete(api, Kind::Session, &uid).await {
                // It ended meanwhile.
                Err(error) if error.kind() == crate::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
    }
    Err(Failure::from(Error::precondition(format!(
        "The User {user} creates new Sessions as fast as they end. Disable the User first, then end the Sessions."
    ))))
}
