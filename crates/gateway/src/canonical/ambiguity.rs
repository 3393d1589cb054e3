//! The reasons for which a request is rejected before authentication.

use http::StatusCode;

/// The part of a request that is ambiguous or invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// Neither a path nor an absolute URI.
    Target,
    /// `CONNECT` or `TRACE`: a tunnel past the Policies, or an echo of the fields that we add. Also a method with
    /// lower-case letters.
    Method,
    /// `//`
    EmptySegment,
    /// `.` or `..`, encoded or not.
    DotSegment,
    /// `/` or `\` within a segment.
    Separator,
    /// `;` in a path.
    PathParameter,
    /// `%` without two hexadecimal digits.
    Escape,
    /// An encoded `%` that starts another escape.
    DoubleEncoding,
    /// NUL, a line end or another control character.
    ControlCharacter,
    /// Not UTF-8. Overlong forms are included.
    NotUtf8,
    /// A byte that must be encoded in a URI.
    UnencodedByte,
    /// The host is missing or not a valid name.
    Host,
    /// Several hosts, or `:authority` and `Host` differ.
    HostMismatch,
    /// `example.com.`
    HostTrailingDot,
    /// A field that must have one value is repeated.
    RepeatedField,
    /// `Connection` contains an invalid field name.
    ConnectionOption,
    /// Both framings, or a coding other than `chunked`.
    Framing,
    /// An expectation other than `100-continue`.
    Expectation,
    /// A Policy read a query that repeats the parameter or cannot be decoded.
    Query,
    /// A Policy read a header value that is not text.
    HeaderText,
    /// A field value that begins or ends with white space, which HTTP/2 forbids (RFC 9113 §8.2.1) and HTTP/1.1 removes.
    PaddedValue,
    /// A gRPC path that is not `/package.Service/Method`.
    GrpcPath,
    /// A gRPC Service got a request that is not a gRPC call.
    NotGrpc,
}

impl Ambiguity {
    /// Returns a stable identifier for the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Target => "request_target",
            Self::Method => "method",
            Self::EmptySegment => "path_empty_segment",
            Self::DotSegment => "path_dot_segment",
            Self::Separator => "path_separator",
            Self::PathParameter => "path_parameter",
            Self::Escape => "path_escape",
            Self::DoubleEncoding => "path_double_encoding",
            Self::ControlCharacter => "path_control_character",
            Self::NotUtf8 => "path_not_utf8",
            Self::UnencodedByte => "target_unencoded_byte",
            Self::Host => "host",
            Self::HostMismatch => "host_mismatch",
            Self::HostTrailingDot => "host_trailing_dot",
            Self::RepeatedField => "repeated_field",
            Self::ConnectionOption => "connection_option",
            Self::Framing => "framing",
            Self::Expectation => "expectation",
            Self::Query => "query",
            Self::HeaderText => "header_text",
            Self::PaddedValue => "padded_value",
            Self::GrpcPath => "grpc_path",
            Self::NotGrpc => "not_grpc",
        }
    }

    /// Returns the message for the caller.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Target => "the request target must be a path or an absolute http(s) URI",
            Self::Method => "this method is not supported",
            Self::EmptySegment => "the path has an empty segment (//)",
            Self::DotSegment => "the path has a dot segment; send the resolved path",
            Self::Separator => "the path has an encoded slash or a backslash",
            Self::PathParameter => "the path has a parameter (;); encode it as %3B",
            Self::Escape => "the path has a % that is not followed by two hexadecimal digits",
            Self::DoubleEncoding => "the path is percent-encoded twice",
            Self::ControlCharacter => "the path has a control character",
            Self::NotUtf8 => "the path is not UTF-8",
            Self::UnencodedByte => "the request target has a byte that must be percent-encoded",
            Self::Host => "the request must have one valid Host",
            Self::HostMismatch => "the request names different hosts",
            Self::HostTrailingDot => "the host ends with a dot; send it without",
            Self::RepeatedField => "a header field that takes one value is repeated",
            Self::ConnectionOption => "the Connection header is malformed",
            Self::Framing => "the length of the body is given in two ways or is malformed",
            Self::Expectation => "only the expectation 100-continue is supported",
            Self::Query => "a query parameter that Policies use is repeated or malformed",
            Self::HeaderText => "a header field that Policies use is not text",
            Self::PaddedValue => "a header field begins or ends with white space",
            Self::GrpcPath => "the path of a gRPC call must be /package.Service/Method",
            Self::NotGrpc => "this Service takes gRPC calls only",
        }
    }

    /// Returns the status (RFC 9110 §15.5).
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::NotGrpc => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
