//! Attached Policies: named and inline.

use api::{core_v1 as core, core_v1::InlinePolicy};
use domain::name;

use super::{draft::Draft, policy};
use crate::Error;

const POLICIES: usize = 100;
const INLINE_POLICIES: usize = 100;

/// What every kind's `authorization` has.
#[derive(Clone, Copy)]
pub(super) struct Attached<'a> {
    /// Names of Policies.
    policies: &'a [String],
    /// Policies of this object alone.
    inline: &'a [InlinePolicy],
}

macro_rules! attached {
    ($($module:ident),*) => {$(
        impl<'a> From<&'a core::$module::spec::Authorization> for Attached<'a> {
            fn from(authorization: &'a core::$module::spec::Authorization) -> Self {
                Self {
                    policies: &authorization.policies,
                    inline: &authorization.inline_policies,
                }
            }
        }
    )*};
}

attached!(
    namespace,
    user,
    service,
    session,
    credential,
    group,
    device,
    cluster_config
);

/// Checks `spec.authorization`: every named Policy exists, every inline one is valid.
///
/// # Errors
/// A text that names the Policy, and, for an expression, line and column.
pub(super) async fn check<'a, A>(
    draft: &mut Draft<'_>,
    authorization: Option<&'a A>,
) -> Result<(), Error>
where
    Attached<'a>: From<&'a A>,
{
    let Some(authorization) = authorization else {
        return Ok(());
    };
    check_attached(draft, authorization.into()).await
}

async fn check_attached(draft: &mut Draft<'_>, attached: Attached<'_>) -> Result<(), Error> {
    let too_many = |field: &str, count: usize, limit: usize| {
        Err(Error::invalid(format!(
            "spec.authorization.{field} has {count} entries; at most {limit} are allowed"
        )))
    };
    if attached.policies.len() > POLICIES {
        return too_many("policies", attached.policies.len(), POLICIES);
    }
    if attached.inline.len() > INLINE_POLICIES {
        return too_many("inlinePolicies", attached.inline.len(), INLINE_POLICIES);
    }
    for name in attached.policies {
        if draft.find::<core::Policy>(name).await?.is_none() {
            return Err(Error::invalid(format!("The Policy {name} does not exist")));
        }
    }
    for (index, inline) in attached.inline.iter().enumerate() {
        let path = format!("spec.authorization.inlinePolicies[{index}]");
        if !inline.name.is_empty() {
            name::check(&inline.name, 1)
                .map_err(|error| Error::invalid(format!("{path}.name: {error}")))?;
        }
        let spec = inline
            .spec
            .as_ref()
            .ok_or_else(|| Error::invalid(format!("{path}.spec must be set")))?;
        policy::check_spec(&format!("{path}.spec"), spec)?;
    }
    Ok(())
}
