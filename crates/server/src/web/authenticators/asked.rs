//! The step-up that a Service requires, carried in addresses and forms.
//!
//! It is only a hint and therefore not signed. A modified value shows other, equally real ways to authenticate. The
//! Policies of the Service decide again when the person returns.

use std::time::Duration;

use api::core_v1::authenticator::status::Type;
use domain::id::Uid;
use maud::{Markup, html};
use policy::{Method, StepUp};

use crate::web::form::Fields;

const FIELD: &str = "prove";
const AGE: &str = "age:";
const ADD_FIDO: &str = "add:fido";
const ADD_TOTP: &str = "add:totp";
const LOGIN: &str = "login";
/// Maximum number of words that are read. It exceeds the number of Authenticators that a User can have.
const MOST: usize = 40;

/// The step-up options that the page offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    /// Authenticators that would satisfy the Policies.
    pub(super) authenticators: Vec<Uid>,
    /// Authenticator types that would satisfy the Policies once added.
    pub(super) to_add: Vec<Type>,
    /// True if a fresh login would satisfy the Policies.
    pub(super) login: bool,
    /// Maximum age of the authentication.
    pub(super) max_age: Option<Duration>,
}

/// Returns path and query of the page that offers the step-up.
pub fn page(step_up: &StepUp) -> String {
    let asked = Asked::of(step_up);
    if asked.authenticators.is_empty() && asked.to_add.is_empty() {
        return crate::web::login::proof_page();
    }
    format!("{}?{FIELD}={}", super::AUTHENTICATE, asked.value())
}

impl Asked {
    fn of(step_up: &StepUp) -> Self {
        let mut asked = Self {
            max_age: step_up.max_age(),
            ..Self::default()
        };
        for way in step_up.ways() {
            match (way.authenticator, way.method) {
                (Some(uid), _) => asked.authenticators.push(uid),
                (None, Method::Login) => asked.login = true,
                (None, Method::Fido | Method::FidoHardware) => asked.add(Type::Fido),
                (None, Method::Totp) => asked.add(Type::Totp),
                // Browsers cannot use a TPM.
                (None, Method::Tpm) => {}
            }
        }
        asked
    }

    /// Reads the hint. Returns `None` if the person came without one. Unknown words are ignored.
    pub(super) fn read(fields: &Fields) -> Option<Self> {
        let value = fields.get(FIELD)?;
        let mut asked = Self::default();
        for word in value.split(',').take(MOST) {
            match word {
                LOGIN => asked.login = true,
                ADD_FIDO => asked.add(Type::Fido),
                ADD_TOTP => asked.add(Type::Totp),
                word => match word.strip_prefix(AGE) {
                    Some(age) => asked.max_age = age.parse().ok().map(Duration::from_secs),
                    None => asked.authenticators.extend(word.parse::<Uid>().ok()),
                },
            }
        }
        Some(asked)
    }

    /// Renders the form field that carries the hint.
    pub(super) fn field(&self) -> Markup {
        html! { input type="hidden" name=(FIELD) value=(self.value()); }
    }

    fn add(&mut self, r#type: Type) {
        if !self.to_add.contains(&r#type) {
            self.to_add.push(r#type);
        }
    }

    fn value(&self) -> String {
        let mut words: Vec<String> = self.authenticators.iter().map(Uid::to_string).collect();
        words.extend(self.to_add.iter().filter_map(|r#type| match r#type {
            Type::Fido => Some(ADD_FIDO.to_owned()),
            Type::Totp => Some(ADD_TOTP.to_owned()),
            Type::Tpm | Type::Unknown => None,
        }));
        words.extend(self.login.then(|| LOGIN.to_owned()));
        words.extend(self.max_age.map(|age| format!("{AGE}{}", age.as_secs())));
        words.join(",")
    }
}

#[cfg(test)]
mod tests {
    use domain::rng::SeededRng;
    use policy::Way;

    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let rng = SeededRng::new(1);
        let asked = Asked {
            authenticators: vec![Uid::random(&rng), Uid::random(&rng)],
            to_add: vec![Type::Totp, Type::Fido],
            login: true,
            max_age: Some(Duration::from_mins(5)),
        };
        let query = format!("{FIELD}={}", asked.value());
        let fields = Fields::parse(query.as_bytes()).unwrap();
        assert_eq!(Asked::read(&fields), Some(asked));
        let junk = Fields::parse(b"prove=add:x,age:-1,%00,,login").unwrap();
        assert_eq!(
            Asked::read(&junk),
            Some(Asked {
                login: true,
                ..Asked::default()
            })
        );
        let fields = Fields::parse(b"page=/sessions").unwrap();
        assert_eq!(Asked::read(&fields), None);
    }

    #[test]
    fn a_step_up_by_login_uses_the_login_page() {
        let way = |method, authenticator| Way {
            method,
            authenticator,
            max_age: None,
        };
        let login = StepUp::any_of(vec![way(Method::Login, None)]).unwrap();
        assert_eq!(page(&login), "/login?again=proof");
        let key = StepUp::any_of(vec![way(Method::Login, None), way(Method::Fido, None)]);
        assert_eq!(
            page(&key.unwrap()),
            "/authenticators/authenticate?prove=add:fido,login"
        );
    }
}
