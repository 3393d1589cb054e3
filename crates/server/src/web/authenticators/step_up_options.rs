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
pub(super) struct StepUpOptions {
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
    let step_up_options = StepUpOptions::of(step_up);
    if step_up_options.authenticators.is_empty() && step_up_options.to_add.is_empty() {
        return crate::web::login::proof_page();
    }
    format!(
        "{}?{FIELD}={}",
        super::AUTHENTICATE,
        step_up_options.value()
    )
}

impl StepUpOptions {
    fn of(step_up: &StepUp) -> Self {
        let mut step_up_options = Self {
            max_age: step_up.max_age(),
            ..Self::default()
        };
        for alternative in step_up.alternatives() {
            match (alternative.authenticator, alternative.method) {
                (Some(uid), _) => step_up_options.authenticators.push(uid),
                (None, Method::Login) => step_up_options.login = true,
                (None, Method::Fido | Method::FidoHardware) => step_up_options.add(Type::Fido),
                (None, Method::Totp) => step_up_options.add(Type::Totp),
                // Browsers cannot use a TPM.
                (None, Method::Tpm) => {}
            }
        }
        step_up_options
    }

    /// Reads the hint. Returns `None` if the person came without one. Unknown words are ignored.
    pub(super) fn read(fields: &Fields) -> Option<Self> {
        let value = fields.get(FIELD)?;
        let mut step_up_options = Self::default();
        for word in value.split(',').take(MOST) {
            match word {
                LOGIN => step_up_options.login = true,
                ADD_FIDO => step_up_options.add(Type::Fido),
                ADD_TOTP => step_up_options.add(Type::Totp),
                word => match word.strip_prefix(AGE) {
                    Some(age) => {
                        step_up_options.max_age = age.parse().ok().map(Duration::from_secs);
                    }
                    None => step_up_options
                        .authenticators
                        .extend(word.parse::<Uid>().ok()),
                },
            }
        }
        Some(step_up_options)
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
    use policy::StepUpAlternative;

    use super::*;

    #[test]
    fn step_up_options_round_trip() {
        let rng = SeededRng::new(1);
        let step_up_options = StepUpOptions {
            authenticators: vec![Uid::random(&rng), Uid::random(&rng)],
            to_add: vec![Type::Totp, Type::Fido],
            login: true,
            max_age: Some(Duration::from_mins(5)),
        };
        let query = format!("{FIELD}={}", step_up_options.value());
        let fields = Fields::parse(query.as_bytes()).unwrap();
        assert_eq!(StepUpOptions::read(&fields), Some(step_up_options));
        let junk = Fields::parse(b"prove=add:x,age:-1,%00,,login").unwrap();
        assert_eq!(
            StepUpOptions::read(&junk),
            Some(StepUpOptions {
                login: true,
                ..StepUpOptions::default()
            })
        );
        let fields = Fields::parse(b"page=/sessions").unwrap();
        assert_eq!(StepUpOptions::read(&fields), None);
    }

    #[test]
    fn a_step_up_by_login_uses_the_login_page() {
        let alternative = |method, authenticator| StepUpAlternative {
            method,
            authenticator,
            max_age: None,
        };
        let login = StepUp::any_of(vec![alternative(Method::Login, None)]).unwrap();
        assert_eq!(page(&login), "/login?again=proof");
        let key = StepUp::any_of(vec![
            alternative(Method::Login, None),
            alternative(Method::Fido, None),
        ]);
        assert_eq!(
            page(&key.unwrap()),
            "/authenticators/authenticate?prove=add:fido,login"
        );
    }
}
