//! The mode of a Service.

/// What a Service speaks. It alone decides how a request is treated: no header of a client makes a request a gRPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Any HTTP. A gRPC call is an ordinary request here.
    Http,
    /// gRPC calls only.
    Grpc,
    /// The same as HTTP, for browsers.
    Web,
}

impl Mode {
    /// Whether requests are gRPC calls: streams without timeouts and buffering, metadata names, trailers, and denials
    /// in the form of gRPC.
    pub(crate) fn is_grpc(self) -> bool {
        match self {
            Self::Grpc => true,
            Self::Http | Self::Web => false,
        }
    }
}
