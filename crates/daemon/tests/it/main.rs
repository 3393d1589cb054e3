//! The whole system: the layout of the sources, and stories told with the real programs.

mod crash;
mod credentials_page;
mod existing_clients;
mod listener;
mod login;
mod oauth2;
mod operation;
mod quickstart;
mod replicas;
mod restore;
mod revocation;
mod support;
mod tidy;
