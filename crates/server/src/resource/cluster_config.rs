//! The singleton `ClusterConfig`.

use api::{
    core_v1::{
        ClusterConfig,
        cluster_config::spec::session::{Human, Workload},
        session::spec::State,
    },
    meta_v1::Duration,
    reflect,
    resource::Object as _,
};

use super::{
    administrators, authorization,
    draft::Draft,
    duration, served,
    write::{self, Managed, Origin, Plan},
};
use crate::{Error, document::codec::Stored};

pub(crate) mod authenticator_rules;
mod device_rules;

/// Fixed name of the object. The name in a request is ignored.
pub const NAME: &str = "default";

const SESSIONS: u32 = 1000;

impl Managed for ClusterConfig {
    const ORIGIN: Origin = Origin::Cluster;

    fn stored_name(_name: &str) -> String {
        NAME.to_owned()
    }

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        served::check(reflect::dynamic(spec).as_ref(), served::CLUSTER_CONFIG)?;
        if let Some(session) = &spec.session {
            if let Some(human) = &session.human {
                check_session("spec.session.human", &human.into())?;
            }
            if let Some(workload) = &session.workload {
                check_session("spec.session.workload", &workload.into())?;
            }
        }
        if let Some(device) = &spec.device {
            device_rules::check(device)?;
        }
        if let Some(authenticator) = &spec.authenticator {
            authenticator_rules::check(authenticator)?;
        }
        draft
            .context
            .domain
            .authority()
            .clone_into(&mut new.status_mut().domain);
        Ok(())
    }
}

/// Replaces the descriptive metadata and the spec of the `ClusterConfig`.
pub struct UpdateClusterConfig(pub ClusterConfig);

impl Plan for UpdateClusterConfig {
    type Output = ClusterConfig;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<ClusterConfig, Error> {
        let old = write::find::<ClusterConfig>(draft, NAME, "").await?;
        let updated = write::update(draft, &old, self.0.clone()).await?;
        administrators::check(draft).await?;
        Ok(updated.unwrap_or(old.message))
    }
}

struct Session<'a> {
    durations: [(&'static str, Option<&'a Duration>); 4],
    max_per_user: u32,
    default_state: i32,
}

macro_rules! session {
    ($($of:ident),*) => {$(
        impl<'a> From<&'a $of> for Session<'a> {
            fn from(of: &'a $of) -> Self {
                Self {
                    durations: [
                        ("clientDuration", of.client_duration.as_ref()),
                        ("clientlessDuration", of.clientless_duration.as_ref()),
                        ("accessTokenDuration", of.access_token_duration.as_ref()),
                        ("refreshTokenDuration", of.refresh_token_duration.as_ref()),
                    ],
                    max_per_user: of.max_per_user,
                    default_state: of.default_state,
                }
            }
        }
    )*};
}

session!(Human, Workload);

fn check_session(path: &str, session: &Session<'_>) -> Result<(), Error> {
    for (field, value) in session.durations {
        duration::check(&format!("{path}.{field}"), value)?;
    }
    if session.max_per_user > SESSIONS {
        return Err(Error::invalid(format!(
            "{path}.maxPerUser is {}; at most {SESSIONS} are allowed",
            session.max_per_user
        )));
    }
    match State::try_from(session.default_state) {
        Ok(State::Unknown | State::Active | State::Pending) => Ok(()),
        _ => Err(Error::invalid(format!(
            "{path}.defaultState must be ACTIVE or PENDING, or left out"
        ))),
    }
}
