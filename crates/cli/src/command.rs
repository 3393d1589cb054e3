//! The commands, one file each.

pub(crate) mod apply;
pub(crate) mod auth;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod policy;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod user_get;
pub(crate) mod version;
pub(crate) mod whoami;
