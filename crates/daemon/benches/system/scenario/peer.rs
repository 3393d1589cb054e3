//! Client credentials grants with node's `oidc-provider`. It keeps its state in memory and uses no TLS here, which both
//! favor it.
//! Install it with `npm ci` in `crates/daemon/benches/peers/oidc-provider`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::grants::Grant;
use crate::{figures::Figures, http::Http1, load::closed_loop, replica};

const CONNECTIONS: usize = 16;
const GRANTS: usize = 5000;

pub(crate) async fn run(figures: &mut Figures) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/oidc-provider");
    let mut node = Command::new("node")
        .arg("server.mjs")
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = node.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let port: u16 = line
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("it did not start: run `npm ci` in {}", folder.display()));
    let basic = STANDARD.encode("client1:secret-of-client1");
    let grant = Grant {
        path: "/token",
        clients: vec![format!("Basic {basic}")],
    };
    closed_loop(connections(port).await, 500, grant.clone()).await;
    let cpu = replica::cpu_seconds(node.id());
    let (elapsed, mut latencies) = closed_loop(connections(port).await, GRANTS, grant).await;
    let cpu = replica::cpu_seconds(node.id()) - cpu;
    node.kill().unwrap();
    node.wait().unwrap();
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let grants = GRANTS as f64;
    let name = "oidc-provider-grants";
    figures.add(name, "per CPU-second", grants / cpu, "grants", "");
    figures.add(
        name,
        "per second",
        grants / elapsed.as_secs_f64(),
        "grants",
        "",
    );
    figures.latencies(name, &mut latencies, "");
}

async fn connections(port: u16) -> Vec<Http1> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Http1::plain(([127, 0, 0, 1], port).into()).await);
    }
    connections
}
