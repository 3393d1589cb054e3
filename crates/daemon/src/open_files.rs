//! The limit of open files of this process (`RLIMIT_NOFILE`), and the limit of upstream requests derived from it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The minimum number of files that upstream requests leave to client connections, the store and the rest. They also
/// leave at least a quarter.
const RESERVE: u64 = 256;
/// The maximum number of open requests at upstreams.
const MOST_UPSTREAM_REQUESTS: u64 = 16_384;
/// The minimum number of open requests at upstreams.
const LEAST_UPSTREAM_REQUESTS: u64 = 16;

/// Raises the soft limit to the hard limit. Returns the effective soft limit, or `None` if it is unlimited.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            tracing::debug!(before = ?limit.current, now = ?limit.maximum, "limit of open files raised");
            limit.maximum
        }
        Err(error) => {
            tracing::warn!(%error, limit = ?limit.current, "cannot raise the limit of open files");
            limit.current
        }
    }
}

/// Returns how many requests can be open at upstreams with this limit of open files. Each may need one file.
pub(crate) fn upstream_requests(limit: Option<u64>) -> usize {
    let most = limit.map_or(MOST_UPSTREAM_REQUESTS, |limit| {
        limit.saturating_sub(RESERVE.max(limit / 4))
    });
    let most = most.clamp(LEAST_UPSTREAM_REQUESTS, MOST_UPSTREAM_REQUESTS);
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_requests_leave_files_to_others_s02() {
        for (limit, requests) in [
            (Some(0), 16),
            (Some(256), 16),
            (Some(512), 256),
            (Some(1024), 768),
            (Some(4096), 3072),
            (Some(20_000), 15_000),
            (Some(u64::MAX), 16_384),
            (None, 16_384),
        ] {
            assert_eq!(upstream_requests(limit), requests, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_limit_s02() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_limit(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
