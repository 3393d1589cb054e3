//! Converts an [`Error`] to a gRPC status.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use crate::{Error, ErrorKind};

/// Domain of the reasons in `ErrorInfo`.
const DOMAIN: &str = "octelium.platform.v1";

impl From<Error> for Status {
    /// Converts only the public part. If the Cluster is at fault, the cause is logged here once.
    fn from(error: Error) -> Self {
        if let Some(source) = error.fault() {
            tracing::error!(error = %source, kind = ?error.kind(), "request failed");
        }
        let code = code(error.kind());
        let details = details(&error);
        if details.is_empty() {
            return Self::new(code, error.public());
        }
        let rich = RpcStatus {
            code: code.into(),
            message: error.public().to_owned(),
            details,
        };
        Self::with_details(code, error.public(), rich.encode_to_vec().into())
    }
}

/// Returns the machine-readable details. Unauthenticated callers get no reason.
fn details(error: &Error) -> Vec<prost_types::Any> {
    let mut details = Vec::new();
    if let ErrorKind::RateLimited { retry_after } = error.kind() {
        details.push(retry_info(retry_after));
    }
    let is_told = matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::FailedPrecondition | ErrorKind::RateLimited { .. }
    );
    if let Some(reason) = error.reason().filter(|_| is_told) {
        let info = ErrorInfo {
            reason: reason.to_ascii_uppercase(),
            domain: DOMAIN.to_owned(),
        };
        details.push(prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        });
    }
    details
}

/// Returns the status code. Existing clients retry Unavailable, `ResourceExhausted`, Unknown, Aborted, `DataLoss`,
/// Internal and `DeadlineExceeded` sixteen times. Errors that a retry would repeat therefore use other codes.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::TooLarge => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Conflict => Code::OutOfRange,
        ErrorKind::FailedPrecondition | ErrorKind::RateLimited { .. } => Code::FailedPrecondition,
        ErrorKind::TimedOut => Code::DeadlineExceeded,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

fn retry_info(retry_after: Duration) -> prost_types::Any {
    let info = RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: i64::try_from(retry_after.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(retry_after.subsec_nanos()).unwrap_or(0),
        }),
    };
    prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: info.encode_to_vec(),
    }
}

/// `google.rpc.Status`, for `grpc-status-details-bin`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(error: Error) -> Option<String> {
        let status = Status::from(error);
        let rich = RpcStatus::decode(status.details()).unwrap();
        let infos = rich
            .details
            .iter()
            .filter(|any| any.type_url.ends_with("ErrorInfo"));
        let mut infos = infos.map(|any| ErrorInfo::decode(any.value.as_slice()).unwrap().reason);
        infos.next()
    }

    #[test]
    fn authenticated_callers_get_the_reason_code() {
        let denied = Error::denied("no").because("authenticator_required");
        assert_eq!(reason(denied).as_deref(), Some("AUTHENTICATOR_REQUIRED"));
        assert_eq!(reason(Error::denied("no")), None);
        let unknown = Error::new(ErrorKind::Unauthenticated, "no").because("session_gone");
        assert_eq!(reason(unknown), None);
        let retry_after = Duration::from_mins(1);
        let blocked = Error::new(ErrorKind::RateLimited { retry_after }, "later");
        let blocked = Status::from(blocked.because("authenticator_blocked"));
        let rich = RpcStatus::decode(blocked.details()).unwrap();
        assert_eq!(rich.details.len(), 2);
    }
}
