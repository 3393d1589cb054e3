//! Time-based one-time passwords (RFC 6238).

use domain::{clock::UnixMillis, rng::Rng};
use totp_rs::{Builder, Secret as Key, Totp};
use zeroize::Zeroizing;

/// In bytes. RFC 4226 §4 R6 recommends 160 bits.
const SECRET_LENGTH: usize = 20;
const LONGEST_CODE: usize = 16;
/// Number of steps that the app's clock can be behind or ahead (RFC 6238 §5.2).
const SKEW: u64 = 1;

/// Parameters of the code generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Hash algorithm.
    pub algorithm: Algorithm,
    /// Number of digits of a code, 6 to 8.
    pub digits: u8,
    /// Duration of a step in seconds.
    pub period: u64,
}

/// Hash algorithm of the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the names of the standard")]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Default for Parameters {
    /// Returns the values that all apps support. Many apps ignore other values.
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Sha1,
            digits: 6,
            period: 30,
        }
    }
}

/// Generates a secret of 160 bits.
pub fn new_secret(rng: &dyn Rng) -> Zeroizing<Vec<u8>> {
    let mut secret = Zeroizing::new(vec![0; SECRET_LENGTH]);
    rng.fill(&mut secret);
    secret
}

/// Returns the `otpauth:` URL that transfers the secret to an app. Returns `None` if the parameters are invalid. Colons
/// in the names are replaced, because they separate issuer and account.
pub fn url(
    secret: &[u8],
    parameters: Parameters,
    issuer: &str,
    account: &str,
) -> Option<Zeroizing<String>> {
    let named = |text: &str| text.replace(':', " ");
    let totp = builder(secret, parameters)
        .with_issuer(Some(named(issuer)))
        .with_account_name(named(account))
        .build()
        .ok()?;
    totp.to_url().ok().map(Zeroizing::new)
}

/// Returns the latest step that has the code `code`. The step must be later than `last` and at most one step away from
/// `now`. The caller must store the returned step as the next `last`, so that no code is accepted twice (§5.2).
/// Compares in constant time.
pub fn matched_step(
    secret: &[u8],
    parameters: Parameters,
    code: &str,
    last: u64,
    now: UnixMillis,
) -> Option<u64> {
    let code = code.trim();
    let is_code = code.len() <= LONGEST_CODE && code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_code || parameters.period == 0 {
        return None;
    }
    let totp = totp(secret, parameters)?;
    let seconds = u64::try_from(now.0).ok()? / 1000;
    let present = seconds / parameters.period;
    let steps = present.saturating_sub(SKEW)..=present.saturating_add(SKEW);
    let mut found = None;
    // All steps are checked, so that the duration does not reveal which one matches.
    for step in steps {
        let at = step.checked_mul(parameters.period)?;
        if totp.check(code, at).is_some() && step > last {
            found = Some(step);
        }
    }
    found
}

fn totp(secret: &[u8], parameters: Parameters) -> Option<Totp> {
    // The account name does not affect the code, but must not be empty.
    builder(secret, parameters)
        .with_account_name("account")
        .build()
        .ok()
}

fn builder(secret: &[u8], parameters: Parameters) -> Builder {
    Builder::new()
        .with_algorithm(match parameters.algorithm {
            Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
            Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
            Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
        })
        .with_digits(parameters.digits)
        .with_step_duration(parameters.period)
        .with_skew(0)
        .with_secret(Key::new(secret.into()))
}

/// Returns the code that an app with the secret of `url` shows at `now`. Returns `None` if the URL is invalid.
#[cfg(any(test, feature = "testing"))]
pub fn code(url: &str, now: UnixMillis) -> Option<String> {
    let totp = Totp::from_url(url).ok()?;
    let seconds = u64::try_from(now.0).ok()? / 1000;
    Some(totp.generate(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// RFC 6238, appendix B.
    const SECRET: &[u8] = b"12345678901234567890";
    const EIGHT: Parameters = Parameters {
        algorithm: Algorithm::Sha1,
        digits: 8,
        period: 30,
    };

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis(seconds * 1000)
    }

    #[rstest]
    #[case(59, "94287082")]
    #[case(1_111_111_109, "07081804")]
    #[case(1_234_567_890, "89005924")]
    #[case(20_000_000_000, "65353130")]
    fn the_codes_are_those_of_the_rfc(#[case] seconds: i64, #[case] code: &str) {
        let step = u64::try_from(seconds).unwrap() / 30;
        assert_eq!(
            matched_step(SECRET, EIGHT, code, 0, at(seconds)),
            Some(step)
        );
    }

    #[test]
    fn a_code_is_good_for_one_step_before_and_behind_and_no_further() {
        // This code belongs to step 41152263.
        let found = |seconds| matched_step(SECRET, EIGHT, "89005924", 0, at(seconds));
        for seconds in [1_234_567_860, 1_234_567_890, 1_234_567_949] {
            assert_eq!(found(seconds), Some(41_152_263), "{seconds}");
        }
        for seconds in [1_234_567_859, 1_234_567_950] {
            assert_eq!(found(seconds), None, "{seconds}");
        }
    }

    #[test]
    fn w5_a_time_step_is_accepted_only_once() {
        let now = at(1_234_567_890);
        let step = matched_step(SECRET, EIGHT, "89005924", 0, now).unwrap();
        assert_eq!(
            matched_step(SECRET, EIGHT, "89005924", step - 1, now),
            Some(step)
        );
        assert_eq!(matched_step(SECRET, EIGHT, "89005924", step, now), None);
        assert_eq!(matched_step(SECRET, EIGHT, "89005924", step + 1, now), None);
    }

    #[rstest]
    #[case("")]
    #[case("8900592")]
    #[case("089005924")]
    #[case("+9005924")]
    #[case("８9005924")]
    #[case("89005924\0")]
    #[case("8900 5924")]
    fn malformed_codes_are_refused(#[case] code: &str) {
        assert_eq!(
            matched_step(SECRET, EIGHT, code, 0, at(1_234_567_890)),
            None
        );
    }

    #[test]
    fn the_url_holds_what_an_app_needs() {
        let url = url(
            SECRET,
            Parameters::default(),
            "Octelium - a:b",
            "j@example.com",
        )
        .unwrap();
        assert_eq!(
            url.as_str(),
            "otpauth://totp/Octelium%20-%20a%20b:j%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Octelium%20-%20a%20b"
        );
    }
}
