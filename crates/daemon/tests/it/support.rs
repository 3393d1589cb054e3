//! The environment of the tests: the real programs, a Cluster in a temporary directory, and an HTTPS client.

pub(crate) mod admin;
pub(crate) mod cluster;
pub(crate) mod https;
pub(crate) mod program;
pub(crate) mod qr;
pub(crate) mod scene;
pub(crate) mod upstream;
pub(crate) mod visitor;
pub(crate) mod webdriver;
