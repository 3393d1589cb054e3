//! What somebody who was denied could prove anew to be let in (RFC 9470).
//!
//! Policies are any expressions, so what they want is not read out of them: the same Policies decide the same request
//! again, once for each proof that could be made now, as if it had been made.

use std::{fmt, time::Duration};

use domain::{clock::UnixMillis, id::Uid};

/// A proof counts for no less: what ends sooner could not be used by anybody.
const SHORTEST: Duration = Duration::from_secs(5);
/// A proof that counts for as long counts without end.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// How somebody proves anew who they are. The strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A security key or passkey that is known to be hardware.
    FidoHardware,
    /// A security key or passkey.
    Fido,
    /// The TPM of the machine.
    Tpm,
    /// An app that shows codes.
    Totp,
    /// The login, once more.
    Login,
}

impl Method {
    /// The authentication context class (RFC 9470 §3) that asks for it. `phrh` and `phr` are those of `OpenID` Connect
    /// EAP ACR Values 1.0 §4: phishing-resistant, and protected by hardware.
    pub fn acr(self) -> Option<&'static str> {
        match self {
            Self::FidoHardware => Some("phrh"),
            Self::Fido => Some("phr"),
            Self::Tpm => Some("urn:octelium:acr:tpm"),
            Self::Totp => Some("urn:octelium:acr:totp"),
            Self::Login => None,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::FidoHardware => "a hardware security key or passkey",
            Self::Fido => "a passkey or security key",
            Self::Tpm => "the TPM of your machine",
            Self::Totp => "a code of your authenticator app",
            Self::Login => "your login",
        }
    }
}

/// One proof that would be enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// How it is made.
    pub method: Method,
    /// The Authenticator that makes it; `None` for one that is to be registered first, and for the login.
    pub authenticator: Option<Uid>,
    /// How old it may be; `None` for as old as it likes.
    pub max_age: Option<Duration>,
}

/// What would be enough to be let in. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp(Vec<Way>);

impl StepUp {
    /// Any of `ways`, of which the strongest are told first; `None` where there is none.
    pub fn any_of(mut ways: Vec<Way>) -> Option<Self> {
        ways.sort_by_key(|way| way.method);
        (!ways.is_empty()).then_some(Self(ways))
    }

    /// Each of them, the strongest first.
    pub fn ways(&self) -> &[Way] {
        &self.0
    }

    /// The methods, each once, the strongest first.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods: Vec<Method> = self.0.iter().map(|way| way.method).collect();
        methods.dedup();
        methods
    }

    /// How old a proof may be whichever of them makes it.
    pub fn max_age(&self) -> Option<Duration> {
        self.0.iter().filter_map(|way| way.max_age).min()
    }

    /// `acr_values`: the classes of which one is enough, in the order of preference; empty where a login is.
    pub fn acr_values(&self) -> String {
        let methods = self.methods();
        let values: Vec<&str> = methods.iter().filter_map(|method| method.acr()).collect();
        values.join(" ")
    }

    /// Whether none of the ways is there yet: an Authenticator is to be registered first.
    pub fn is_to_be_registered(&self) -> bool {
        let is_there = |way: &Way| way.authenticator.is_some() || way.method == Method::Login;
        !self.0.iter().any(is_there)
    }

    /// By what, and how recent it must be: `by A, or by B, within the last 5 minutes`. ASCII, without quotation marks.
    pub fn means(&self) -> String {
        let names = self.methods().into_iter().map(Method::name);
        let names = names.collect::<Vec<_>>().join(", or by ");
        match self.max_age().map(|age| age.as_secs()) {
            Some(seconds) if seconds >= 120 => {
                let minutes = seconds.div_ceil(60);
                format!("by {names}, within the last {minutes} minutes")
            }
            Some(seconds) => format!("by {names}, within the last {seconds} seconds"),
            None => format!("by {names}"),
        }
    }

    /// The challenge of RFC 9470 §3, for `WWW-Authenticate`. ASCII.
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

/// A sentence without a full stop, ASCII, without quotation marks.
impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this needs that you prove who you are {}", self.means())?;
        if self.is_to_be_registered() {
            f.write_str("; you have none of these yet")?;
        }
        Ok(())
    }
}

/// How old a proof may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// As old as it likes.
    Any,
    /// No older.
    AtMost(Duration),
}

impl Age {
    /// The limit, where there is one.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Any => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// How old a proof may be at which `is_allowed` lets through: asked with the moments at which it may have been made.
/// `None` where not even one that is made now would do.
///
/// What is allowed at some age is taken to be allowed at each lesser one. Asks at most 30 times.
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

    fn way(method: Method, max_age: Option<u64>) -> Way {
        let rng = domain::rng::SeededRng::new(1);
        Way {
            method,
            authenticator: Some(Uid::random(&rng)),
            max_age: max_age.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let step_up = StepUp::any_of(vec![
            way(Method::Totp, Some(300)),
            way(Method::FidoHardware, Some(900)),
            way(Method::FidoHardware, None),
        ]);
        assert_eq!(
            step_up.unwrap().challenge(),
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
             error_description=\"this needs that you prove who you are by a hardware security key or passkey, or by a \
             code of your authenticator app, within the last 5 minutes\", \
             acr_values=\"phrh urn:octelium:acr:totp\", max_age=\"300\""
        );
        let login = StepUp::any_of(vec![Way {
            authenticator: None,
            ..way(Method::Login, Some(60))
        }]);
        assert_eq!(
            login.unwrap().challenge(),
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", \
             error_description=\"this needs that you prove who you are by your login, within the last 60 seconds\", \
             max_age=\"60\""
        );
        assert_eq!(StepUp::any_of(Vec::new()), None);
    }

    #[test]
    fn whoever_has_none_yet_is_told_so() {
        let step_up = StepUp::any_of(vec![Way {
            authenticator: None,
            ..way(Method::Fido, None)
        }]);
        let step_up = step_up.unwrap();
        assert!(step_up.is_to_be_registered());
        assert!(
            step_up
                .to_string()
                .ends_with("; you have none of these yet")
        );
    }
}
