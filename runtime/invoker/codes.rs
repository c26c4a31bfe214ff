//! The error codes of this stage. Each has a page in `runtime/errors/`.

/// No connection: refused, no route.
pub const CONNECT: &str = "MP4001";
/// The host's name has no address.
pub const RESOLVE: &str = "MP4002";
/// Status 429, 502, 503 or 504: something in front of the function turned the call away.
pub const UNAVAILABLE: &str = "MP4003";
/// The connection ended before the answer was complete.
pub const BROKEN: &str = "MP4004";
/// No answer within the time of the attempt.
pub const DEADLINE: &str = "MP4005";
/// No connection within `connect`.
pub const CONNECT_TIMEOUT: &str = "MP4006";
/// All connections of `pool_size` were busy for as long as `connect`.
pub const NO_SLOT: &str = "MP4007";
/// Any other status than success.
pub const STATUS: &str = "MP4008";
/// A success whose content type is not `application/octet-stream`.
pub const CONTENT_TYPE: &str = "MP4009";
/// The body is not a `FromFunction`.
pub const UNDECODABLE: &str = "MP4010";
/// The body is larger than `payload_max_bytes`.
pub const TOO_LARGE: &str = "MP4011";
/// A redirect; it is not followed.
pub const REDIRECT: &str = "MP4012";
/// The content coding is damaged, or one that was not offered.
pub const CODING: &str = "MP4013";
/// What came back is not HTTP, or not its version that was spoken.
pub const NOT_HTTP: &str = "MP4014";
/// The function's name does not fit into `urlPathTemplate`.
pub const FUNCTION_NAME: &str = "MP4015";
/// An endpoint's URL cannot be called.
pub const ENDPOINT_URL: &str = "MP4016";

/// A message to no one.
pub const NO_TARGET: &str = "MP4020";
/// A state change that is neither `DELETE` nor `MODIFY`.
pub const MUTATION_TYPE: &str = "MP4021";
/// A state declared with something that is not a typename.
pub const STATE_TYPENAME: &str = "MP4022";
/// A state declared with a time to live of zero or less.
pub const STATE_TTL: &str = "MP4023";
/// An id above `id_bytes`.
pub const ID_BYTES: &str = "MP4024";
/// A typename above `typename_bytes`.
pub const TYPENAME_BYTES: &str = "MP4025";
/// A state's name above `state_name_bytes`.
pub const STATE_NAME_BYTES: &str = "MP4026";
/// A state value above `value_bytes`.
pub const VALUE_BYTES: &str = "MP4027";
/// An argument above `argument_bytes`.
pub const ARGUMENT_BYTES: &str = "MP4028";

/// The certificate of the endpoint is not signed by whom we trust, or cannot be used.
pub const UNTRUSTED: &str = "MP4030";
/// The certificate of the endpoint is out of its time.
pub const EXPIRED: &str = "MP4031";
/// The certificate of the endpoint is for another host.
pub const OTHER_HOST: &str = "MP4032";
/// The endpoint refuses our certificate, or wants one.
pub const CLIENT_REFUSED: &str = "MP4033";
/// TLS was begun and the other side speaks something else.
pub const NOT_TLS: &str = "MP4034";
/// The TLS handshake failed in another way.
pub const HANDSHAKE: &str = "MP4035";
/// Nothing moved for `timeouts.read` or `timeouts.write`.
pub const PAUSE: &str = "MP4036";
