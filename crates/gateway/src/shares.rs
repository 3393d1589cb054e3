//! The share of each caller in the memory and the upstream connections of this process.

use std::{fmt, net::IpAddr};

use domain::{address_prefix::AddressPrefix, id::Uid};

use crate::Caller;

mod bodies;
mod exchanges;

pub(crate) use bodies::{BodyBudget, ChargedBytes, PendingCharge};
pub(crate) use exchanges::{Exchange, Exchanges};

/// The party to which a request is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// The authenticated User.
    User(Uid),
    /// The address prefix of a client that is not authenticated as a User.
    Address(AddressPrefix),
}

impl Payer {
    /// Returns the User of `caller`, or the address prefix of `client` if the caller has no User.
    pub(crate) fn of(caller: Option<&Caller>, client: IpAddr) -> Self {
        match caller.and_then(Caller::user) {
            Some(user) => Self::User(user),
            None => Self::Address(client.into()),
        }
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Address(prefix) => prefix.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallerFacts;

    #[test]
    fn users_are_counted_across_addresses_and_others_by_prefix_s02() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let near: IpAddr = "2001:db8::2".parse().unwrap();
        let far: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(Payer::of(None, one), Payer::of(None, near));
        assert_ne!(Payer::of(None, one), Payer::of(None, far));
        let user = |uid: &str| {
            Caller::new(CallerFacts {
                user_uid: uid.to_owned(),
                ..CallerFacts::default()
            })
        };
        let alice = user("6fa459ea-ee8a-4ca4-894e-db77e160355e");
        assert_eq!(Payer::of(Some(&alice), one), Payer::of(Some(&alice), far));
        assert_ne!(Payer::of(Some(&alice), one), Payer::of(None, one));
        let unknown = user("");
        assert_eq!(Payer::of(Some(&unknown), one), Payer::of(None, one));
    }
}
