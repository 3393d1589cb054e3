//! Everything for which a request is refused before anyone asks who sent it.

use http::StatusCode;

/// What could be read in two ways, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// Neither a path nor an absolute URI.
    Target,
    /// `CONNECT` and `TRACE`: a tunnel past the Policies, and an echo of what we add.
    Method,
    /// `//`
    EmptySegment,
    /// `.` and `..`, encoded or not.
    DotSegment,
    /// `/` or `\` within a segment.
    Separator,
    /// `;` in a path.
    PathParameter,
    /// `%` without two hexadecimal digits.
    Escape,
    /// An encoded `%` that begins another escape.
    DoubleEncoding,
    /// NUL, line ends and their like.
    ControlCharacter,
    /// Also overlong forms.
    NotUtf8,
    /// A byte that a URI holds in encoded form only.
    UnencodedByte,
    /// No host, or none that can be a name.
    Host,
    /// More than one, or `:authority` and `Host` differ.
    HostMismatch,
    /// `example.com.`
    HostTrailingDot,
    /// A field that stands for one value has several.
    RepeatedField,
    /// `Connection` names what cannot be a field.
    ConnectionOption,
    /// Both framings, or a coding besides `chunked`.
    Framing,
    /// Another expectation than `100-continue`.
    Expectation,
    /// A Policy has read a query that has the parameter twice or cannot be decoded.
    Query,
    /// A Policy has read a header that is not text.
    HeaderText,
    /// A path of gRPC is `/package.Service/Method`.
    GrpcPath,
    /// A Service of gRPC takes nothing else.
    NotGrpc,
}

impl Ambiguity {
    /// A stable word for the log.
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
            Self::GrpcPath => "grpc_path",
            Self::NotGrpc => "not_grpc",
        }
    }

    /// What is wrong, for the caller.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Target => "the request target must be a path or an absolute http(s) URI",
            Self::Method => "this method is not served",
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
            Self::Framing => "the length of the body is given in two ways or a wrong one",
            Self::Expectation => "only the expectation 100-continue is known",
            Self::Query => "a query parameter that decides access is repeated or malformed",
            Self::HeaderText => "a header field that decides access is not text",
            Self::GrpcPath => "the path of a gRPC call must be /package.Service/Method",
            Self::NotGrpc => "this Service takes gRPC calls only",
        }
    }

    /// RFC 9110 §15.5.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::NotGrpc => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
