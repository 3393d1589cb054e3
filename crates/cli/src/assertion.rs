//! Assertions: tokens of the platform that a workload runs on, used to log in.

use secrecy::SecretString;

use crate::{environment::Environment, failure::Failure, input};

mod fetch;

/// Default path of the service account token in a Kubernetes pod. A projected volume can have another path.
const KUBERNETES_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const AZURE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const AZURE_VERSION: &str = "2021-05-01";
const GRAMMAR: &str = "an assertion is `[IDENTITY-PROVIDER:]TYPE[:key=value,…]` with a TYPE of k8s, kubernetes, azure, \
                       github-actions or jwt, such as `github-actions`, `ci:k8s:file=/var/run/secrets/token` or \
                       `jwt:env=ID_TOKEN`";

/// The source of an assertion, as given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Name or uid of the `IdentityProvider`. If it is `None`, the Cluster finds it by the issuer of the token.
    pub(crate) provider: Option<String>,
    platform: Platform,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Platform {
    File(String),
    Variable(String),
    Azure {
        audience: Option<String>,
        client_id: Option<String>,
    },
    GithubActions {
        audience: Option<String>,
    },
}

impl Source {
    /// Parses the form of `--assertion` (see [`GRAMMAR`]).
    ///
    /// # Errors
    /// Returns a usage failure if the text is malformed.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::usage(what).hint(GRAMMAR);
        let (head, rest) = split(text);
        // A word that is also a type names the IdentityProvider if a type follows it.
        let follows_type = rest.is_some_and(|rest| is_type(split(rest).0));
        let (provider, kind, options) = if is_type(head) && !follows_type {
            (None, head, rest)
        } else {
            let rest = rest.ok_or_else(|| wrong(format!("unknown assertion type `{head}`")))?;
            let (kind, options) = split(rest);
            (Some(head.to_owned()), kind, options)
        };
        if !is_type(kind) {
            return Err(wrong(format!("unknown assertion type `{kind}`")));
        }
        if provider.as_ref().is_some_and(String::is_empty) {
            return Err(wrong(
                "the name of the IdentityProvider is empty".to_owned(),
            ));
        }
        let mut options = Options::parse(options.unwrap_or_default()).map_err(wrong)?;
        let platform = match kind {
            "azure" => Platform::Azure {
                audience: options.take("audience"),
                client_id: options.take("clientID"),
            },
            "github-actions" => Platform::GithubActions {
                audience: options.take("audience"),
            },
            "jwt" => match (options.take("env"), options.take("file")) {
                (Some(variable), None) => Platform::Variable(variable),
                (None, Some(file)) => Platform::File(file),
                _ => {
                    return Err(wrong(
                        "jwt requires either env=NAME or file=PATH".to_owned(),
                    ));
                }
            },
            _ => {
                let file = options.take("file");
                Platform::File(file.unwrap_or_else(|| KUBERNETES_TOKEN.to_owned()))
            }
        };
        match options.0.first() {
            None => Ok(Self { provider, platform }),
            Some((key, _)) => Err(wrong(format!("{kind} has no option `{key}`"))),
        }
    }

    /// Reads the token or requests it from the platform.
    ///
    /// # Errors
    /// Returns a failure if the token is missing or the platform does not issue one.
    pub(crate) async fn fetch(
        &self,
        domain: &str,
        environment: &Environment,
    ) -> Result<SecretString, Failure> {
        let variable = |name: &str| environment.get(name).map(str::to_owned);
        match &self.platform {
            Platform::File(path) => input::read_secret(path),
            Platform::Variable(name) => match variable(name) {
                Some(token) => Ok(SecretString::from(token.trim())),
                None => Err(Failure::usage(format!("the variable {name} is not set"))),
            },
            Platform::Azure {
                audience,
                client_id,
            } => {
                let resource = audience.as_deref().unwrap_or(domain);
                let mut query = vec![("api-version", AZURE_VERSION), ("resource", resource)];
                query.extend(client_id.as_deref().map(|id| ("client_id", id)));
                let url = fetch::with_query(AZURE, &query);
                let answer = fetch::json(&url, ("metadata", "true")).await?;
                token(&answer, "access_token", "Azure")
            }
            Platform::GithubActions { audience } => {
                let missing = || {
                    Failure::usage("GitHub Actions provides no token to this job")
                        .hint("give the job `permissions: {id-token: write}`")
                };
                let url = variable("ACTIONS_ID_TOKEN_REQUEST_URL").ok_or_else(missing)?;
                let request = variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN").ok_or_else(missing)?;
                let own = format!("https://{domain}");
                let audience = audience.as_deref().unwrap_or(&own);
                let url = fetch::with_query(&url, &[("audience", audience)]);
                let bearer = format!("Bearer {request}");
                let answer = fetch::json(&url, ("authorization", &bearer)).await?;
                token(&answer, "value", "GitHub Actions")
            }
        }
    }
}

fn token(answer: &serde_json::Value, field: &str, platform: &str) -> Result<SecretString, Failure> {
    let token = answer.get(field).and_then(serde_json::Value::as_str);
    token
        .map(SecretString::from)
        .ok_or_else(|| Failure::input(format!("the response of {platform} has no `{field}`")))
}

fn is_type(text: &str) -> bool {
    matches!(
        text,
        "k8s" | "kubernetes" | "azure" | "github-actions" | "jwt"
    )
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((head, rest)) => (head, Some(rest)),
        None => (text, None),
    }
}

/// The options of an assertion: `key=value,key=value`.
struct Options(Vec<(String, String)>);

impl Options {
    fn parse(text: &str) -> Result<Self, String> {
        let mut options = Vec::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| format!("`{option}` is not key=value"))?;
            if options.iter().any(|(known, _)| known == key) {
                return Err(format!("`{key}` is given twice"));
            }
            options.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(options))
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<String>, Platform) {
        let source = Source::parse(text).unwrap();
        (source.provider, source.platform)
    }

    #[test]
    fn the_grammar_is_read() {
        let kubernetes = || Platform::File(KUBERNETES_TOKEN.to_owned());
        assert_eq!(parse("k8s"), (None, kubernetes()));
        assert_eq!(parse("kubernetes:"), (None, kubernetes()));
        assert_eq!(parse("ci:k8s"), (Some("ci".to_owned()), kubernetes()));
        assert_eq!(
            parse("jwt:env=TOKEN"),
            (None, Platform::Variable("TOKEN".to_owned()))
        );
        assert_eq!(
            parse("jwt:jwt:file=/a:b"),
            (Some("jwt".to_owned()), Platform::File("/a:b".to_owned()))
        );
        assert_eq!(
            parse("3a0e1b38-6a63-4f3a-9a39-b1df3d1c7f10:github-actions:audience=https://x:1"),
            (
                Some("3a0e1b38-6a63-4f3a-9a39-b1df3d1c7f10".to_owned()),
                Platform::GithubActions {
                    audience: Some("https://x:1".to_owned())
                }
            )
        );
        assert_eq!(
            parse("azure:audience=api://x,clientID=1"),
            (
                None,
                Platform::Azure {
                    audience: Some("api://x".to_owned()),
                    client_id: Some("1".to_owned())
                }
            )
        );
    }

    #[test]
    fn values_outside_the_grammar_are_reported() {
        for (text, expected) in [
            ("", "unknown assertion type ``"),
            ("gitlab", "unknown assertion type `gitlab`"),
            ("ci:gitlab", "unknown assertion type `gitlab`"),
            (":k8s", "the name of the IdentityProvider is empty"),
            ("jwt", "jwt requires either env=NAME or file=PATH"),
            (
                "jwt:env=A,file=b",
                "jwt requires either env=NAME or file=PATH",
            ),
            ("jwt:env", "`env` is not key=value"),
            ("jwt:env=A,env=B", "`env` is given twice"),
            ("k8s:audience=x", "k8s has no option `audience`"),
        ] {
            assert_eq!(Source::parse(text).unwrap_err().message, expected, "{text}");
        }
    }
}
