//! Finds the fresh authentication that would turn a denial into an allowed request (step-up, RFC 9470).
//!
//! Policies are arbitrary expressions, so their requirements cannot be read from them. Instead, the same Policies
//! decide the same request again, once for each authentication that the User could perform now.

use std::{fmt, time::Duration};

use domain::{clock::UnixMillis, id::Uid};

/// Minimum age limit. A shorter one would expire before the User can use it.
const SHORTEST: Duration = Duration::from_secs(5);
/// Maximum age limit. An authentication that is still accepted at this age is accepted at any age.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// An authentication method, ordered from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Security key or passkey that is known to be hardware.
    FidoHardware,
    /// Security key or passkey.
    Fido,
    /// TPM of the machine.
    Tpm,
    /// Authenticator app with one-time codes.
    Totp,
    /// New login.
    Login,
}

impl Method {
    /// Returns the authentication context class that requests this method (RFC 9470 §3), or `None` for a login.
    ///
    /// `phrh` and `phr` are defined by `OpenID` Connect EAP ACR Values 1.0 §4: phishing-resistant, with and without
    /// hardware protection.
    pub fn acr(self) -> Option<&'static str> {
        match self {
            Self::FidoHardware => Some("phrh"),
            Self::Fido => Some("phr"),
            Self::Tpm => Some("urn:octelium:acr:tpm"),
            Self::Totp => Some("urn:octelium:acr:totp"),
            Self::Login => None,
        }
    }

    /// Returns the name of the method in messages, such as `a passkey or security key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FidoHardware => "a hardware security key or passkey",
            Self::Fido => "a passkey or security key",
            Self::Tpm => "the TPM of your machine",
            Self::Totp => "a code from your authenticator app",
            Self::Login => "your login",
        }
    }
}

/// One authentication that would be sufficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepUpAlternative {
    /// Authentication method.
    pub method: Method,
    /// Authenticator to use, or `None` if it must be registered first and for a login.
    pub authenticator: Option<Uid>,
    /// Maximum age of the authentication, or `None` if any age is accepted.
    pub max_age: Option<Duration>,
}

/// The step-up that would allow the request: one or more alternative authentications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp(Vec<StepUpAlternative>);

impl StepUp {
    /// Accepts any of `alternatives` and sorts them from the strongest to the weakest. Returns `None` if `alternatives` is
    /// empty.
    pub fn any_of(mut alternatives: Vec<StepUpAlternative>) -> Option<Self> {
        alternatives.sort_by_key(|alternative| alternative.method);
        (!alternatives.is_empty()).then_some(Self(alternatives))
    }

    /// Returns the alternatives, the strongest first.
    pub fn alternatives(&self) -> &[StepUpAlternative] {
        &self.0
    }

    /// Returns the methods without duplicates, the strongest first.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods: Vec<Method> = self
            .0
            .iter()
            .map(|alternative| alternative.method)
            .collect();
        methods.dedup();
        methods
    }

    /// Returns the lowest age limit of all alternatives, which is valid for each of them.
    pub fn max_age(&self) -> Option<Duration> {
        self.0
            .iter()
            .filter_map(|alternative| alternative.max_age)
            .min()
    }

    /// Returns the value of `acr_values`: the accepted classes in order of preference, or empty if only a login helps.
    pub fn acr_values(&self) -> String {
        let methods = self.methods();
        let values: Vec<&str> = methods.iter().filter_map(|method| method.acr()).collect();
        values.join(" ")
    }

    /// Returns whether the User must register an Authenticator before the step-up.
    pub fn requires_registration(&self) -> bool {
        let is_there = |alternative: &StepUpAlternative| {
            alternative.authenticator.is_some() || alternative.method == Method::Login
        };
        !self.0.iter().any(is_there)
    }

    /// Describes methods and age limit: `with A, or with B, within the last 5 minutes`. ASCII, without quotation marks.
    pub fn summary(&self) -> String {
        let names = self.methods().into_iter().map(Method::name);
        let names = names.collect::<Vec<_>>().join(", or with ");
        match self.max_age().map(|age| age.as_secs()) {
            Some(seconds) if seconds >= 120 => {
                let minutes = seconds.div_ceil(60);
                format!("with {names}, within the last {minutes} minutes")
            }
            Some(seconds) => format!("with {names}, within the last {seconds} seconds"),
            None => format!("with {names}"),
        }
    }

    /// Returns the challenge for the `WWW-Authenticate` header (RFC 9470 §3). ASCII.
    pub fn challenge(&self) -> String {
        let mut challenge = format!(
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
             error_description=\"{self}\""
        );
        let acr_values = self.acr_values();
        if !acr_values.is_empty() {
            challenge = format!("{challenge}, acr_values=\"{acr_values}\"");
        }
        if let Some(max_age) = self.max_age() {
            challenge = format!("{challenge}, max_age=\"{}\"", max_age.as_secs());
        }
        challenge
    }
}

/// Writes a sentence in ASCII, without a full stop and without quotation marks.
impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this requires that you verify your identity {}",
            self.summary()
        )?;
        if self.requires_registration() {
            f.write_str("; you have none of these yet")?;
        }
        Ok(())
    }
}

/// The maximum age of an authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Any age is accepted.
    Any,
    /// The authentication must not be older than this.
    AtMost(Duration),
}

impl Age {
    /// Returns the limit, or `None` if any age is accepted.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Any => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// Finds the maximum age of an authentication at which `is_allowed` returns true. `is_allowed` receives the time of the
/// authentication. Returns `None` if even an authentication made now would be denied.
///
/// Assumes that an authentication allowed at some age is allowed at any lower age. Calls `is_allowed` at most 30 times.
pub fn longest_age(now: UnixMillis, is_allowed: impl Fn(UnixMillis) -> bool) -> Option<Age> {
    let at_age = |age: u64| is_allowed(now.saturating_sub(Duration::from_secs(age)));
    let (mut good, mut bad) = (SHORTEST.as_secs(), LONGEST.as_secs());
    if !is_allowed(now) || !at_age(good) {
        return None;
    }
    if at_age(bad) {
        return Some(Age::Any);
    }
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        if at_age(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(Age::AtMost(Duration::from_secs(good)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rstest::rstest;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

    #[rstest]
    #[case(600, Some(Age::AtMost(Duration::from_mins(10))))]
    #[case(1, None)]
    #[case(5, Some(Age::AtMost(Duration::from_secs(5))))]
    #[case(1_000_000, Some(Age::AtMost(Duration::from_secs(1_000_000))))]
    #[case(u64::MAX, Some(Age::Any))]
    fn the_longest_age_is_found_to_the_second(#[case] seconds: u64, #[case] expected: Option<Age>) {
        let asked = Cell::new(0);
        let found = longest_age(NOW, |at| {
            asked.set(asked.get() + 1);
            NOW.since(at).as_secs() <= seconds
        });
        assert_eq!(found, expected, "{seconds}");
        assert!(asked.get() <= 30, "{}", asked.get());
        assert_eq!(longest_age(NOW, |_| false), None);
    }

    fn alternative(method: Method, max_age: Option<u64>) -> StepUpAlternative {
        let rng = domain::rng::SeededRng::new(1);
        StepUpAlternative {
            method,
            authenticator: Some(Uid::random(&rng)),
            max_age: max_age.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let step_up = StepUp::any_of(vec![
            alternative(Method::Totp, Some(300)),
            alternative(Method::FidoHardware, Some(900)),
            alternative(Method::FidoHardware, None),
        ]);
        assert_eq!(
            step_up.unwrap().challenge(),
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
             error_description=\"this requires that you verify your identity with a hardware security key or passkey, \
             or with a code from your authenticator app, within the last 5 minutes\", \
             acr_values=\"phrh urn:octelium:acr:totp\", max_age=\"300\""
        );
        let login = StepUp::any_of(vec![StepUpAlternative {
            authenticator: None,
            ..alternative(Method::Login, Some(60))
        }]);
        assert_eq!(
            login.unwrap().challenge(),
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
             error_description=\"this requires that you verify your identity with your login, within the last 60 \
             seconds\", \
             max_age=\"60\""
        );
        assert_eq!(StepUp::any_of(Vec::new()), None);
    }

    #[test]
    fn a_missing_authenticator_is_mentioned() {
        let step_up = StepUp::any_of(vec![StepUpAlternative {
            authenticator: None,
            ..alternative(Method::Fido, None)
        }]);
        let step_up = step_up.unwrap();
        assert!(step_up.requires_registration());
        assert!(
            step_up
                .to_string()
                .ends_with("; you have none of these yet")
        );
    }
}
