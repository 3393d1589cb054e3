//! Authentication of identities, and the lifecycle of Sessions.

pub(crate) mod active;
pub(crate) mod authenticator;
pub(crate) mod browser;
pub mod client_login;
pub mod device;
pub(crate) mod device_login;
pub mod enrollment;
pub(crate) mod identity;
pub mod issue;
mod login;
mod logout;
pub(crate) mod reap;
mod refresh;
pub(crate) mod secret;
mod session_creation;
mod sign;
pub(crate) mod user_provisioning;
mod workload_assertion;

pub use authenticator::factors as second_factors;
pub(crate) use identity::{IdentityFailed, Lifetime, SingleUse, refused_identity};
pub(crate) use login::refused;
pub use login::{Login, with_authentication_token};
pub use logout::logout;
pub use refresh::{check_refresh_token, with_refresh_token};
pub(crate) use secret::UNAUTHENTICATED;
pub(crate) use session_creation::{
    LoginMethod, SessionRequest, create_session, detach_sessions, failure,
};
pub(crate) use sign::{SessionTokens, access_token, seconds_until};
pub use workload_assertion::{AssertionLogin, with_assertion};
pub(crate) use workload_assertion::{AssertionRequest, create_session_by_assertion};
