//! The load generators.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{peer::Proxy, rounds::TURN};

/// `wrk` and `h2load` with their files.
pub(crate) struct Tools(TempDir);

/// The result of a `wrk` run.
pub(crate) struct Done {
    /// The number of responses.
    pub(crate) requests: f64,
    /// The number of bytes received.
    pub(crate) bytes: f64,
}

const DONE: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.bytes, failed, errors.read))
end
"#;

impl Tools {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Sends HTTP/1.1 requests over TLS to one host.
    pub(crate) fn wrk(&self, proxy: &Proxy, connections: usize, host: &str, path: &str) -> Done {
        self.scripted(proxy, connections, &[host], path, "")
    }

    /// Uploads bodies of `size` bytes.
    pub(crate) fn upload(
        &self,
        proxy: &Proxy,
        connections: usize,
        host: &str,
        size: usize,
    ) -> Done {
        let script = format!("wrk.method = 'POST'\nwrk.body = string.rep('x', {size})\n");
        self.scripted(proxy, connections, &[host], "/upload", &script)
    }

    /// Requests the same path at several hosts in turn.
    pub(crate) fn hosts(&self, proxy: &Proxy, connections: usize, hosts: &[&str]) -> Done {
        let script = "
local requests = {}
local last = 0
init = function(args)
  for number, host in ipairs(args) do
    requests[number] = wrk.format(nil, nil, { Host = host, Authorization = wrk.headers['Authorization'] })
  end
end
request = function()
  last = last % #requests + 1
  return requests[last]
end
";
        self.scripted(proxy, connections, hosts, "/", script)
    }

    fn scripted(
        &self,
        proxy: &Proxy,
        connections: usize,
        hosts: &[&str],
        path: &str,
        script: &str,
    ) -> Done {
        let file = self.file("script.lua", &format!("{script}{DONE}"));
        let output = Command::new("wrk")
            .args(["-t", "1", "-c", &connections.to_string()])
            .args(["-d", &format!("{}s", TURN.as_secs())])
            .args(["-H", &format!("Host: {}", hosts[0])])
            .args(["-H", &format!("Authorization: {}", proxy.authorization)])
            .arg("-s")
            .arg(file)
            // The handshake has no server name, so that one connection can serve several hosts.
            .arg(format!("https://{}{path}", proxy.address))
            .arg("--")
            .args(hosts)
            .output()
            .expect("wrk is installed");
        let text = text(&output);
        let result = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .unwrap_or_else(|| panic!("{}: {text}", proxy.name));
        let figures: Vec<f64> = result
            .split_whitespace()
            .map(|figure| figure.parse().unwrap())
            .collect();
        // The end of the run can interrupt a large body on each connection.
        let broken = figures[3] <= connections as f64;
        assert!(
            figures[0] > 0.0 && figures[2] == 0.0 && broken,
            "{}: {text}",
            proxy.name
        );
        Done {
            requests: figures[0],
            bytes: figures[1],
        }
    }

    /// Sends HTTP/2 requests, or gRPC calls if there is a `body`, on 8 connections of 8 streams each. Returns the
    /// number of responses.
    pub(crate) fn h2load(&self, proxy: &Proxy, host: &str, path: &str, body: Option<&[u8]>) -> f64 {
        let mut command = Command::new("h2load");
        command
            .args(["-c", "8", "-m", "8", "-t", "1"])
            .args(["-D", &TURN.as_secs().to_string()])
            .args(["-H", &format!("authorization: {}", proxy.authorization)])
            .arg(format!("--connect-to={}", proxy.address));
        if let Some(body) = body {
            let file = self.0.path().join("body");
            fs::write(&file, body).unwrap();
            command.arg("-d").arg(file).args([
                "-H",
                "content-type: application/grpc",
                "-H",
                "te: trailers",
            ]);
        }
        let output = command
            .arg(format!("https://{host}:{}{path}", proxy.address.port()))
            .output()
            .expect("h2load is installed");
        let text = text(&output);
        // `status codes: 2xx-count 2xx, 0 3xx, 0 4xx, 0 5xx`
        let codes = text
            .lines()
            .find_map(|line| line.strip_prefix("status codes: "))
            .unwrap_or_else(|| panic!("{}: {text}", proxy.name));
        let codes: Vec<f64> = codes
            .split(", ")
            .map(|code| code.split_once(' ').unwrap().0.parse().unwrap())
            .collect();
        assert!(
            codes[0] > 0.0 && codes[1..].iter().all(|code| *code == 0.0),
            "{}: {text}",
            proxy.name
        );
        codes[0]
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path: &Path = self.0.path();
        let path = path.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
