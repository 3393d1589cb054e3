//! Fuzzes resource documents. Reading, writing and reading again yields the same resources.
#![no_main]

use api::document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match document::parse("fuzz", text) {
        Ok(resources) => {
            for (_, resource) in resources {
                let dynamic = resource.dynamic().expect("a resource of the contract");
                let yaml = document::to_yaml(&dynamic);
                let again = document::parse("again", yaml.as_bytes())
                    .unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}"));
                assert_eq!(again.len(), 1, "{yaml}");
                assert_eq!(again[0].1, resource, "{yaml}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(!problem.to_string().is_empty());
            }
        }
    }
});
