//! The programs as they are run, against a Cluster that the test plays.

mod apply;
mod credentials;
mod exit;
mod fake;
mod login;
mod output;
mod program;
mod watch;
