//! The results of commands: exit codes, and errors with a hint.

use std::process::ExitCode;

use prost::Message as _;
use tonic::{Code, Status};

use crate::text::printable;

/// The result of a successful command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 3: `diff` found differences.
    Differences,
}

/// The class of a failure. It determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Exit code 1: the request is invalid or the Cluster failed.
    Failed,
    /// Exit code 2: the command line is invalid, or the user cancelled.
    Usage,
    /// Exit code 4: no Session exists, or it has ended.
    AuthenticationNeeded,
    /// Exit code 5: a Policy or a rule denies the request.
    Denied,
    /// Exit code 6: the object does not exist.
    NotFound,
    /// Exit code 7: the object exists already, or was changed in between.
    Conflict,
    /// Exit code 8: the Cluster cannot be reached, or did not answer in time.
    Unavailable,
}

/// An error message for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// Stable code for scripts: a gRPC code such as `NotFound`, or a code of this program such as `Usage` or `Input`.
    pub(crate) code: &'static str,
    /// Description of the error. Can have several lines.
    pub(crate) message: String,
    /// Suggested next step.
    pub(crate) hint: Option<String>,
    /// Id of the request in the Cluster's log.
    pub(crate) request_id: Option<String>,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Differences => 3,
        })
    }
}

impl Reason {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::AuthenticationNeeded => 4,
            Self::Denied => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::Unavailable => 8,
        })
    }

    /// Returns the reason for a gRPC code.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::Unauthenticated => Self::AuthenticationNeeded,
            Code::PermissionDenied => Self::Denied,
            Code::NotFound => Self::NotFound,
            // The Cluster reports a write conflict as OutOfRange.
            Code::AlreadyExists | Code::OutOfRange | Code::Aborted => Self::Conflict,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unavailable,
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Failed,
        }
    }
}

impl Failure {
    /// A failure on this machine, such as an unreadable file.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(Reason::Failed, "Input", message)
    }

    /// An invalid command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Reason::Usage, "Usage", message)
    }

    /// A missing or ended Session.
    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Reason::AuthenticationNeeded, "Unauthenticated", message)
    }

    /// A Cluster that cannot be reached.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::Unavailable, "Unavailable", message)
    }

    pub(crate) fn new(reason: Reason, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            code,
            message: message.into(),
            hint: None,
            request_id: None,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Converts the error status of a call.
    pub(crate) fn of_status(status: &Status) -> Self {
        let code = code_name(status.code());
        let message = match status.message() {
            "" => code.to_owned(),
            text => format!("{text} ({code})"),
        };
        if is_too_large(status) {
            return Self::new(Reason::Failed, code, message)
                .hint("the request is too large: split the files and apply them in several steps");
        }
        let mut failure = Self::new(Reason::of_code(status.code()), code, message);
        failure.request_id = status
            .metadata()
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        failure.hint = proof(status).or_else(|| advice(status).map(str::to_owned));
        failure
    }
}

/// Returns the reason of a refusal (`google.rpc.ErrorInfo` in the details of the status).
pub(crate) fn reason_of(status: &Status) -> Option<String> {
    let rich = RpcStatus::decode(status.details()).ok()?;
    let info = rich
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"))?;
    Some(ErrorInfo::decode(info.value.as_slice()).ok()?.reason)
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

/// Returns a hint if a step-up would allow the request (RFC 9470 §3).
fn proof(status: &Status) -> Option<String> {
    let challenge = status.metadata().get("www-authenticate")?.to_str().ok()?;
    if !challenge.contains("error=\"insufficient_user_authentication\"") {
        return None;
    }
    let (_, rest) = challenge.split_once("error_description=\"")?;
    let (description, _) = rest.split_once('"')?;
    Some(format!(
        "{description}. `octelium auth get authenticator` lists your Authenticators, `octelium auth authenticator \
         NAME` uses one",
        description = printable(description)
    ))
}

/// Returns whether the request exceeds the server's message limit. gRPC libraries report this as `OutOfRange`, the code
/// that otherwise means a write conflict.
fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("message length too large")
}

/// Returns the name of a code as gRPC libraries spell it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

fn advice(status: &Status) -> Option<&'static str> {
    match status.code() {
        Code::Unauthenticated => Some("log in again: octelium login --auth-token -"),
        // Denials by a Policy have no message. Denials by a rule have one, which needs no hint.
        Code::PermissionDenied
            if status.message().is_empty() || status.message().contains("Unauthorized") =>
        {
            Some(
                "`octelium whoami` shows your User; an administrator can attach a Policy that allows it",
            )
        }
        Code::OutOfRange | Code::Aborted => {
            Some("the object was changed in the meantime: read it again and retry")
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Some(
            "the Cluster did not answer; try again, and check the log of octeliumd if this continues",
        ),
        Code::Unimplemented => {
            Some("the Cluster does not support this; it may have another version")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    #[test]
    fn a_step_up_challenge_becomes_a_hint() {
        let hint_of = |challenge: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("www-authenticate", challenge.parse().unwrap());
            let text = "Octelium: Unauthorized";
            let status = Status::with_metadata(Code::PermissionDenied, text, metadata);
            Failure::of_status(&status).hint.unwrap()
        };
        let hint = hint_of(
            "Bearer realm=\"octelium\", error=\"insufficient_user_authentication\", error_description=\"this needs \
             more\", acr_values=\"phr\"",
        );
        assert!(
            hint.starts_with("this needs more. `octelium auth"),
            "{hint}"
        );
        // Other challenges count as an ordinary denial.
        for other in [
            "Bearer",
            "Bearer error=\"insufficient_user_authentication\"",
        ] {
            assert!(hint_of(other).contains("whoami"), "{other}");
        }
    }
}
