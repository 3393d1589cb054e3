//! The one place where an [`Error`] becomes a gRPC status.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use crate::{Error, ErrorKind};

impl From<Error> for Status {
    /// The public part alone. What it came from is logged here, once, where it is the Cluster's fault.
    fn from(error: Error) -> Self {
        if let Some(source) = error.fault() {
            tracing::error!(error = %source, kind = ?error.kind(), "request failed");
        }
        let code = code(error.kind());
        match error.kind() {
            ErrorKind::RateLimited { retry_after } => Self::with_details(
                code,
                error.public(),
                retry_info(code, &error, retry_after).into(),
            ),
            _ => Self::new(code, error.public()),
        }
    }
}

/// Existing clients retry Unavailable, `ResourceExhausted`, Unknown, Aborted, `DataLoss`, Internal and
/// `DeadlineExceeded` sixteen times, so none of these stands for a client's mistake.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Conflict => Code::OutOfRange,
        ErrorKind::FailedPrecondition | ErrorKind::RateLimited { .. } => Code::FailedPrecondition,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

/// `google.rpc.Status` with one `google.rpc.RetryInfo`, for `grpc-status-details-bin`.
fn retry_info(code: Code, error: &Error, retry_after: Duration) -> Vec<u8> {
    let info = RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: i64::try_from(retry_after.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(retry_after.subsec_nanos()).unwrap_or(0),
        }),
    };
    RpcStatus {
        code: code.into(),
        message: error.public().to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        }],
    }
    .encode_to_vec()
}

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
