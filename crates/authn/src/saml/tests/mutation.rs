//! Mutations of signed responses either fail or leave the claims unchanged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::world::{IDP, draft, finish};
use crate::saml::{
    Login,
    testing::{Draft, Signed},
};

static RESPONSES: LazyLock<Vec<(String, Login)>> = LazyLock::new(|| {
    [Signed::Response, Signed::Assertion, Signed::Both]
        .into_iter()
        .map(|signed| {
            let document = Draft { signed, ..draft() }.write(&IDP).unwrap();
            let login = finish(&document).unwrap();
            (document, login)
        })
        .collect()
});

fn holds(octets: Vec<u8>, login: &Login) -> Result<bool, TestCaseError> {
    let Ok(text) = String::from_utf8(octets) else {
        return Ok(false);
    };
    match finish(&text) {
        Ok(read) => {
            prop_assert_eq!(&read, login, "{}", text);
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

#[test]
fn w06_no_byte_can_be_replaced_so_that_something_else_is_accepted() {
    let mut accepted = 0;
    for (document, login) in RESPONSES.iter() {
        for at in 0..document.len() {
            for with in [document.as_bytes()[at] ^ 1, b" <x"[at % 3]] {
                let mut octets = document.clone().into_bytes();
                octets[at] = with;
                accepted += usize::from(holds(octets, login).unwrap());
            }
        }
    }
    // Certificates in the message and unsigned parts of the response are ignored.
    assert!(accepted > 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn w06_no_part_can_be_cut_out_doubled_or_put_in(
        which in 0..3_usize,
        from in any::<prop::sample::Index>(),
        length in 0..80_usize,
        to in any::<prop::sample::Index>(),
        insert in prop_oneof![
            Just(String::new()),
            Just("<!-- -->".to_owned()),
            Just("&#32;".to_owned()),
            Just(" xmlns:saml=\"urn:x\"".to_owned()),
            Just("<x/>".to_owned()),
            "[ -~]{0,12}",
        ],
    ) {
        let (document, login) = &RESPONSES[which];
        let octets = document.as_bytes();
        let from = from.index(octets.len());
        let part = &octets[from..octets.len().min(from + length)];
        let to = to.index(octets.len());

        let mut doubled = octets.to_vec();
        doubled.splice(to..to, part.iter().copied());
        holds(doubled, login)?;
        let mut cut = octets.to_vec();
        cut.splice(from..from + part.len(), insert.bytes());
        holds(cut, login)?;
        let mut put = octets.to_vec();
        put.splice(to..to, insert.bytes());
        holds(put, login)?;
    }
}
