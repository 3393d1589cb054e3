//! The mode of a Service.

/// The mode of a Service. It alone decides how a request is treated: client headers cannot turn a request into a gRPC
/// call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Any HTTP. A gRPC call is an ordinary request here.
    Http,
    /// gRPC calls only.
    Grpc,
    /// HTTP for browsers; treated as [`Mode::Http`].
    Web,
}

impl Mode {
    /// Returns true if requests are gRPC calls. These are streams without timeouts and buffering, with metadata names,
    /// trailers and gRPC denials.
    pub(crate) fn is_grpc(self) -> bool {
        match self {
            Self::Grpc => true,
            Self::Http | Self::Web => false,
        }
    }
}
