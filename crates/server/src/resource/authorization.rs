//! Policies attached to a resource, by name and inline.

use api::{core_v1 as core, core_v1::InlinePolicy};
use domain::name;

use super::{draft::Draft, policy};
use crate::{Error, document::codec::Stored};

const POLICIES: usize = 100;
const INLINE_POLICIES: usize = 100;

/// The common part of the `spec.authorization` of every kind.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attached<'a> {
    /// Names of attached Policies.
    pub(crate) policies: &'a [String],
    /// Policies that belong to this object only.
    pub(crate) inline: &'a [InlinePolicy],
}

/// A kind of resource to which Policies can be attached.
pub(crate) trait Authorized {
    /// Returns the content of `spec.authorization`.
    fn attached(&self) -> Attached<'_>;
}

macro_rules! authorized {
    ($($kind:ident),*) => {$(
        impl Authorized for core::$kind {
            fn attached(&self) -> Attached<'_> {
                let authorization = self.spec.as_ref().and_then(|spec| spec.authorization.as_ref());
                authorization.map_or_else(Attached::default, |authorization| Attached {
                    policies: &authorization.policies,
                    inline: &authorization.inline_policies,
                })
            }
        }
    )*};
}

authorized!(
    Namespace,
    User,
    Service,
    Session,
    Credential,
    Group,
    Device,
    ClusterConfig
);

/// Checks `spec.authorization`: each named Policy must exist, and each inline Policy must be valid.
///
/// Entries of the previous revision are not checked again. If an attached Policy was deleted, it denies. The object
/// must still be editable, for example to disable it.
///
/// # Errors
/// Returns `InvalidArgument` with the name of the Policy and, for an expression, its line and column.
pub(super) async fn check<T: Authorized>(
    draft: &mut Draft<'_>,
    new: &T,
    old: Option<&Stored<T>>,
) -> Result<(), Error> {
    let attached = new.attached();
    let before = old.map_or_else(Attached::default, |old| old.message.attached());
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
        if before.policies.contains(name) {
            continue;
        }
        if draft.find::<core::Policy>(name).await?.is_none() {
            return Err(Error::invalid(format!("The Policy {name} does not exist")));
        }
    }
    for (index, inline) in attached.inline.iter().enumerate() {
        if before.inline.contains(inline) {
            continue;
        }
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
