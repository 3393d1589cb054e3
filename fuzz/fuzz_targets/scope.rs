//! Fuzzes scopes, one a line.
#![no_main]

use domain::scope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let texts: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let Ok(scopes) = scope::parse(&texts) else {
        return;
    };
    let written: Vec<String> = scopes.iter().flat_map(scope::format).collect();
    assert_eq!(scope::parse(&written).as_ref(), Ok(&scopes));
    let mut reversed = scopes.clone();
    reversed.reverse();
    assert_eq!(scope::hash(&reversed), scope::hash(&scopes));
    // Scopes are additive: all scopes together allow what each of them allows.
    for one in &scopes {
        let one = std::slice::from_ref(one);
        for service in ["nginx.default", "default.octelium-api", "a.b"] {
            for is_api in [false, true] {
                assert!(
                    !scope::allows_service(one, service, is_api)
                        || scope::allows_service(&scopes, service, is_api)
                );
            }
        }
        assert!(
            !scope::allows_method(one, "core", "MainService", "GetUser")
                || scope::allows_method(&scopes, "core", "MainService", "GetUser")
        );
    }
});
