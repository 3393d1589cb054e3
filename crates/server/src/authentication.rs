//! Authentication of identities, and the lifecycle of Sessions.

pub(crate) mod active;
mod assertion;
pub(crate) mod authenticator;
mod begin;
pub(crate) mod browser;
pub mod client_login;
pub mod device;
pub(crate) mod device_login;
pub mod enrollment;
pub(crate) mod identity;
pub mod issue;
mod login;
mod logout;
pub(crate) mod person;
pub(crate) mod reap;
mod refresh;
pub(crate) mod secret;
mod sign;

pub use assertion::{AssertionLogin, with_assertion};
pub(crate) use assertion::{Wanted, begin_by_assertion};
pub use authenticator::factors as second_factors;
pub(crate) use begin::{Beginning, By, begin, failure, loosen};
pub(crate) use identity::{IdentityFailed, Lifetime, SingleUse, refused_identity};
pub(crate) use login::refused;
pub use login::{Login, with_authentication_token};
pub use logout::logout;
pub use refresh::{check_refresh_token, with_refresh_token};
pub(crate) use secret::UNAUTHENTICATED;
pub(crate) use sign::{SessionTokens, access_token, seconds_until};
