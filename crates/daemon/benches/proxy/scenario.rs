//! The scenarios.

mod bodies;
mod idle;
mod latency;
mod requests;
mod services;
mod websockets;

use std::pin::Pin;

use crate::figures::Figures;

type Run = for<'a> fn(&'a mut Figures) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The name of a scenario and its function.
pub(crate) const ALL: [(&str, Run); 8] = [
    ("http1", |figures| Box::pin(requests::http1(figures))),
    ("http2", |figures| Box::pin(requests::http2(figures))),
    ("grpc", |figures| Box::pin(requests::grpc(figures))),
    ("bodies", |figures| Box::pin(bodies::run(figures))),
    ("latency", |figures| Box::pin(latency::run(figures))),
    ("idle-connections", |figures| Box::pin(idle::run(figures))),
    ("websockets", |figures| Box::pin(websockets::run(figures))),
    ("services", |figures| Box::pin(services::run(figures))),
];
