//! Small requests, each with a token and a decision.

use crate::{figures::Figures, rounds::alternate, stage::Stage, upstream::MESSAGE};

const UNIT: &str = "requests/CPU-s";

/// On 32 kept connections.
pub(crate) async fn http1(figures: &mut Figures) {
    let stage = Stage::start().await;
    let rounds = alternate(&stage.all(), |proxy| {
        stage.tools.wrk(proxy, 32, "app.localhost", "/").requests
    });
    let targets = [
        ("nginx", ">= 0.8"),
        ("nginx auth_request", ">= 1.2"),
        ("envoy jwt_authn+rbac", ">= 4"),
    ];
    rounds.report(figures, "http1", UNIT, &targets);
}

/// To an HTTP/1.1 upstream.
pub(crate) async fn http2(figures: &mut Figures) {
    let stage = Stage::start().await;
    let rounds = alternate(&stage.all(), |proxy| {
        stage.tools.h2load(proxy, "app.localhost", "/", None)
    });
    rounds.report(figures, "http2", UNIT, &[("nginx", ">= 0.7")]);
}

/// Unary calls.
pub(crate) async fn grpc(figures: &mut Figures) {
    let stage = Stage::start().await;
    // nginx with `auth_request` does not support gRPC.
    let mut proxies = stage.all();
    proxies.retain(|proxy| proxy.name != stage.nginx_auth_request.name);
    let rounds = alternate(&proxies, |proxy| {
        stage
            .tools
            .h2load(proxy, "grpc.localhost", "/bench.Echo/Call", Some(MESSAGE))
    });
    rounds.report(figures, "grpc", UNIT, &[("nginx", ">= 0.7")]);
}
