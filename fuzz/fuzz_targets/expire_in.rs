//! Fuzzes the values of `--expire-in`, at any time.
#![no_main]

use domain::{clock::UnixMillis, duration::parse_expire_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &str)| {
    let (now, text) = input;
    let now = UnixMillis(now);
    match parse_expire_in(text, now) {
        Ok(at) => {
            assert!(at > now);
            // The same text at a later time must not yield an earlier expiration.
            let later = UnixMillis(now.0.saturating_add(86_400_000));
            if let Ok(after) = parse_expire_in(text, later) {
                assert!(after >= at || text.contains('y') || text.contains('o'));
            }
        }
        Err(error) => assert!(error.to_string().contains("valid examples")),
    }
});
