//! Why a request is not taken.

/// One reason, one sentence. A value, not a failure: the gateway answers it with 400 and closes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// Not HTTP/1.0, 1.1 or 2.
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// RFC 9112 section 3.2.
    #[error("the request names no host")]
    HostMissing,
    /// RFC 9112 section 3.2.
    #[error("the request names its host more than once")]
    HostDuplicate,
    /// `Host`, `:authority` or the absolute form is another destination, or not in canonical spelling.
    #[error("the request's {0} is not the destination of this connection")]
    HostMismatch(&'static str),
    /// `:scheme` or the absolute form says another scheme than the connection has.
    #[error("the request's scheme is not that of this connection")]
    SchemeMismatch,
    /// `user@host`, which readers split differently.
    #[error("the request's authority has user information")]
    Userinfo,
    /// The authority is no destination: upper case, trailing dot, no port, odd characters.
    #[error("{0}")]
    Target(#[from] marque_model::TargetError),
    /// CONNECT (RFC 9110 section 9.3.6, RFC 8441) where a tunnel is already open.
    #[error("CONNECT is not taken inside a tunnel")]
    ConnectInTunnel,
    /// The form of the request target does not fit the method.
    #[error("the request target does not have the form that its method needs")]
    TargetForm,
    /// Over a bound.
    #[error("the request target is longer than is taken")]
    TargetTooLong,
    /// The target has bytes beyond visible ASCII.
    #[error("the request target has characters that a URL may not have")]
    TargetBytes,
    /// TRACE and its like send a request's own credential back.
    #[error("this method is not forwarded")]
    Method,
    /// RFC 9110 section 5.4: no bound of ours may be silently met.
    #[error("the request has more header lines than are taken")]
    HeadersTooMany,
    /// As above, by bytes.
    #[error("the request's header lines are longer than is taken")]
    HeadersTooLong,
    /// A value that is not text.
    #[error("the header `{0}` has bytes that are no text")]
    HeaderValue(String),
    /// A second spelling of a header that frames or routes.
    #[error("the header `{0}` is a disguise of one that frames the request")]
    HeaderAlias(String),
    /// A header that may occur once.
    #[error("the header `{0}` occurs more than once")]
    HeaderDuplicate(&'static str),
    /// `Connection` names a header that is not for one hop alone (RFC 9110 section 7.6.1).
    #[error("`Connection` names the header `{0}`, which is not for one hop")]
    ConnectionNames(String),
    /// HTTP/2 has no hop-by-hop headers (RFC 9113 section 8.2.2).
    #[error("HTTP/2 has no header `{0}`")]
    HopInHttp2(String),
    /// RFC 9112 section 6.3: the classic of request smuggling.
    #[error("the request has both a content length and a transfer coding")]
    LengthAndCoding,
    /// Not one plain decimal number.
    #[error("the content length is not one plain number")]
    ContentLength,
    /// Anything but one `chunked`.
    #[error("the transfer coding is not `chunked` alone")]
    TransferCoding,
    /// RFC 9110 section 10.1.1 knows one expectation.
    #[error("the request expects something other than `100-continue`")]
    Expect,
    /// h2c and all others (threats H14).
    #[error("only an upgrade to `websocket` is taken")]
    Upgrade,
    /// An upgrade without `Connection: upgrade`, in another version than HTTP/1.1, not a GET, or with a body.
    #[error("the upgrade is not asked for as RFC 6455 says")]
    UpgradeForm,
}

impl Reject {
    /// A stable word for error codes and tests.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Version => "http_version",
            Self::HostMissing => "host_missing",
            Self::HostDuplicate => "host_duplicate",
            Self::HostMismatch(_) => "host_mismatch",
            Self::SchemeMismatch => "scheme_mismatch",
            Self::Userinfo => "authority_userinfo",
            Self::Target(_) => "authority_not_canonical",
            Self::ConnectInTunnel => "connect_in_tunnel",
            Self::TargetForm => "target_form",
            Self::TargetTooLong => "target_too_long",
            Self::TargetBytes => "target_bytes",
            Self::Method => "method_refused",
            Self::HeadersTooMany => "headers_too_many",
            Self::HeadersTooLong => "headers_too_long",
            Self::HeaderValue(_) => "header_value",
            Self::HeaderAlias(_) => "header_alias",
            Self::HeaderDuplicate(_) => "header_duplicate",
            Self::ConnectionNames(_) => "connection_names",
            Self::HopInHttp2(_) => "hop_header_in_http2",
            Self::LengthAndCoding => "length_and_coding",
            Self::ContentLength => "content_length",
            Self::TransferCoding => "transfer_coding",
            Self::Expect => "expect_refused",
            Self::Upgrade => "upgrade_refused",
            Self::UpgradeForm => "upgrade_form",
        }
    }
}
