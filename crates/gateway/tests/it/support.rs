//! A gateway on its own port, with fakes, upstreams and clients.

pub(crate) mod client;
pub(crate) mod ports;
pub(crate) mod upstream;
pub(crate) mod world;

pub(crate) use client::{Reply, raw};
pub(crate) use upstream::Upstream;
pub(crate) use world::{World, service};
