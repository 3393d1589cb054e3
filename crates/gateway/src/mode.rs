//! The mode of a Service.

/// The mode of a Service. It alone decides how a request is treated: no header of a client makes a request a gRPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Any HTTP. A gRPC call is an ordinary request here.
    Http,
    /// gRPC calls only.
    Grpc,
    /// Treated as HTTP. For browsers.
    Web,
}

impl Mode {
    /// Returns true if requests are gRPC calls: streams without timeouts and buffering, metadata names, trailers, and denials
    /// in the form of gRPC.
    pub(crate) fn is_grpc(self) -> bool {
        match self {
            Self::Grpc => true,
            Self::Http | Self::Web => false,
        }
    }
}
