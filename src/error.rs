//! What can go wrong, as types: broker error codes, undecodable bytes, lost connections, refused requests.
//!
//! One small enum per operation lives beside the operation; the ones here are the causes that all of them share.

mod authentication;
mod authorization;

pub use authentication::{AuthenticationCause, AuthenticationError};
pub use authorization::{AuthorizationError, Resource};

use std::{fmt, io, sync::Arc, time::Duration};

/// A broker's answer to a request or to one partition of it, as Kafka numbers them.
///
/// The number is kept as it came, so a code that this version does not know still prints and compares.
/// Source: Kafka 4.1, `org.apache.kafka.common.protocol.Errors`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

macro_rules! error_codes {
    ($($name:ident = $code:literal, $retriable:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Kafka's `", stringify!($name), "` (", stringify!($code), ").")]
                pub const $name: Self = Self($code);
            )*

            /// Kafka's name of this code, `None` if this version does not know it.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Whether Kafka calls the code transient: the same request may succeed later.
            ///
            /// A code that this version does not know is not retriable.
            pub const fn is_retriable(self) -> bool {
                match self.0 {
                    $($code => $retriable,)*
                    _ => false,
                }
            }
        }
    };
}

error_codes! {
    UNKNOWN_SERVER_ERROR = -1, false;
    NONE = 0, false;
    OFFSET_OUT_OF_RANGE = 1, false;
    CORRUPT_MESSAGE = 2, true;
    UNKNOWN_TOPIC_OR_PARTITION = 3, true;
    INVALID_FETCH_SIZE = 4, false;
    LEADER_NOT_AVAILABLE = 5, true;
    NOT_LEADER_OR_FOLLOWER = 6, true;
    REQUEST_TIMED_OUT = 7, true;
    BROKER_NOT_AVAILABLE = 8, false;
    REPLICA_NOT_AVAILABLE = 9, true;
    MESSAGE_TOO_LARGE = 10, false;
    STALE_CONTROLLER_EPOCH = 11, false;
    OFFSET_METADATA_TOO_LARGE = 12, false;
    NETWORK_EXCEPTION = 13, true;
    COORDINATOR_LOAD_IN_PROGRESS = 14, true;
    COORDINATOR_NOT_AVAILABLE = 15, true;
    NOT_COORDINATOR = 16, true;
    INVALID_TOPIC_EXCEPTION = 17, false;
    RECORD_LIST_TOO_LARGE = 18, false;
    NOT_ENOUGH_REPLICAS = 19, true;
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, true;
    INVALID_REQUIRED_ACKS = 21, false;
    ILLEGAL_GENERATION = 22, false;
    INCONSISTENT_GROUP_PROTOCOL = 23, false;
    INVALID_GROUP_ID = 24, false;
    UNKNOWN_MEMBER_ID = 25, false;
    INVALID_SESSION_TIMEOUT = 26, false;
    REBALANCE_IN_PROGRESS = 27, false;
    INVALID_COMMIT_OFFSET_SIZE = 28, false;
    TOPIC_AUTHORIZATION_FAILED = 29, false;
    GROUP_AUTHORIZATION_FAILED = 30, false;
    CLUSTER_AUTHORIZATION_FAILED = 31, false;
    INVALID_TIMESTAMP = 32, false;
    UNSUPPORTED_SASL_MECHANISM = 33, false;
    ILLEGAL_SASL_STATE = 34, false;
    UNSUPPORTED_VERSION = 35, false;
    TOPIC_ALREADY_EXISTS = 36, false;
    INVALID_PARTITIONS = 37, false;
    INVALID_REPLICATION_FACTOR = 38, false;
    INVALID_REPLICA_ASSIGNMENT = 39, false;
    INVALID_CONFIG = 40, false;
    NOT_CONTROLLER = 41, true;
    INVALID_REQUEST = 42, false;
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43, false;
    POLICY_VIOLATION = 44, false;
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45, false;
    DUPLICATE_SEQUENCE_NUMBER = 46, false;
    INVALID_PRODUCER_EPOCH = 47, false;
    INVALID_TXN_STATE = 48, false;
    INVALID_PRODUCER_ID_MAPPING = 49, false;
    INVALID_TRANSACTION_TIMEOUT = 50, false;
    CONCURRENT_TRANSACTIONS = 51, true;
    TRANSACTION_COORDINATOR_FENCED = 52, false;
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53, false;
    SECURITY_DISABLED = 54, false;
    OPERATION_NOT_ATTEMPTED = 55, false;
    KAFKA_STORAGE_ERROR = 56, true;
    LOG_DIR_NOT_FOUND = 57, false;
    SASL_AUTHENTICATION_FAILED = 58, false;
    UNKNOWN_PRODUCER_ID = 59, false;
    REASSIGNMENT_IN_PROGRESS = 60, false;
    NON_EMPTY_GROUP = 68, false;
    GROUP_ID_NOT_FOUND = 69, false;
    FETCH_SESSION_ID_NOT_FOUND = 70, true;
    INVALID_FETCH_SESSION_EPOCH = 71, true;
    LISTENER_NOT_FOUND = 72, true;
    TOPIC_DELETION_DISABLED = 73, false;
    FENCED_LEADER_EPOCH = 74, true;
    UNKNOWN_LEADER_EPOCH = 75, true;
    UNSUPPORTED_COMPRESSION_TYPE = 76, false;
    STALE_BROKER_EPOCH = 77, false;
    OFFSET_NOT_AVAILABLE = 78, true;
    MEMBER_ID_REQUIRED = 79, false;
    PREFERRED_LEADER_NOT_AVAILABLE = 80, true;
    GROUP_MAX_SIZE_REACHED = 81, false;
    FENCED_INSTANCE_ID = 82, false;
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83, true;
    ELECTION_NOT_NEEDED = 84, true;
    NO_REASSIGNMENT_IN_PROGRESS = 85, false;
    GROUP_SUBSCRIBED_TO_TOPIC = 86, false;
    INVALID_RECORD = 87, false;
    UNSTABLE_OFFSET_COMMIT = 88, true;
    THROTTLING_QUOTA_EXCEEDED = 89, true;
    PRODUCER_FENCED = 90, false;
    UNKNOWN_TOPIC_ID = 100, true;
    INCONSISTENT_TOPIC_ID = 103, true;
    FETCH_SESSION_TOPIC_ID_ERROR = 106, true;
    NEW_LEADER_ELECTED = 108, false;
    OFFSET_MOVED_TO_TIERED_STORAGE = 109, false;
    FENCED_MEMBER_EPOCH = 110, false;
    UNRELEASED_INSTANCE_ID = 111, false;
    UNSUPPORTED_ASSIGNOR = 112, false;
    STALE_MEMBER_EPOCH = 113, false;
    TRANSACTION_ABORTABLE = 120, false;
    REBOOTSTRAP_REQUIRED = 129, false;
}

impl ErrorCode {
    /// Whether the code is `NONE`.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// `Ok` for `NONE`, the code itself otherwise.
    ///
    /// # Errors
    ///
    /// The code, when it is any but `NONE`.
    pub const fn check(self) -> Result<(), Self> {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "broker error {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ErrorCode {}

/// Bytes from a peer that do not follow the protocol.
///
/// Every variant says what was being read and where, counted from the start of the frame or batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{what} at byte {at}: {needed} bytes are needed, {left} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// The least number of bytes it takes.
        needed: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// A length or count is more than the bytes in hand or a fixed bound allow.
    #[error("{what} at byte {at}: {value} is over the limit of {limit}")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// What the peer stated.
        value: i64,
        /// The most that can be accepted.
        limit: usize,
    },
    /// A value outside what the field can hold, such as a negative length.
    #[error("{what} at byte {at}: {value} is not valid")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// What the peer stated.
        value: i64,
    },
    /// A required value is null.
    #[error("{what} at byte {at}: null where a value is required")]
    Null {
        /// The field.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("{what} at byte {at}: not UTF-8")]
    NotUtf8 {
        /// The field.
        what: &'static str,
        /// Where it starts.
        at: usize,
    },
    /// Records in a format from before Kafka 0.11, or one that is not known.
    #[error(
        "record batch at byte {at}: format {magic} is not supported, only format 2 (Kafka 0.11 and later)"
    )]
    RecordFormat {
        /// Where the format's number stands.
        at: usize,
        /// The number, Kafka's "magic".
        magic: i8,
    },
    /// A record batch whose checksum does not match its bytes.
    #[error("record batch at offset {base_offset}: CRC-32C is {found:#010x}, the header says {stated:#010x}")]
    Crc {
        /// The batch's base offset.
        base_offset: i64,
        /// What the header states.
        stated: u32,
        /// What the bytes give.
        found: u32,
    },
    /// Compressed data that its codec refuses.
    #[error("{codec} data cannot be decompressed")]
    Decompress {
        /// The codec's name.
        codec: &'static str,
    },
    /// Decompressed data would be larger than the cap.
    #[error("{codec} data decompresses to more than the cap of {limit} bytes")]
    DecompressLimit {
        /// The codec's name.
        codec: &'static str,
        /// The cap.
        limit: usize,
    },
}

/// A request that cannot be written, because a value in it does not fit the protocol's field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{api} v{version}: a value in the request does not fit its field")]
pub struct EncodeError {
    /// The request's API.
    pub api: &'static str,
    /// The version it was written in.
    pub version: i16,
}

/// Why a connection to a broker could not be made, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The name has no address; check the spelling and the resolver.
    #[error("{host}:{port} cannot be resolved")]
    Resolve {
        /// The host as configured or as the cluster advertises it.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// What the resolver said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No address of the broker accepted a connection; check that it runs and listens there.
    #[error("cannot connect to {host}:{port}")]
    Connect {
        /// The host as configured or as the cluster advertises it.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// The last address's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// The encryption of the connection could not be agreed on; check that the port is one for TLS.
    #[error("no TLS with {host}:{port}")]
    Handshake {
        /// The host, as it was given or as the cluster advertises it.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// What ended the handshake.
        #[source]
        source: Arc<io::Error>,
    },
    /// The broker's certificate is not trusted; check the authorities, the host name and the certificate's dates.
    #[error("the certificate of {host}:{port} is not trusted")]
    Untrusted {
        /// The host, as it was given or as the cluster advertises it.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// What is wrong with it.
        #[source]
        source: Arc<io::Error>,
    },
    /// The broker does not take the client's certificate, or wants one and was shown none; give one that it trusts.
    #[error("{host}:{port} does not accept the client's certificate, or the lack of one")]
    ClientCertificate {
        /// The host, as it was given or as the cluster advertises it.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// What the broker said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The broker's address is not known at present.
    #[error("the cluster does not say where the broker is")]
    NoAddress,
    /// Reading from or writing to the socket failed.
    #[error("the connection broke")]
    Io(#[source] Arc<io::Error>),
    /// The broker closed the connection.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker did not answer in time, so the connection was given up.
    #[error("no answer to {api} within {after:?}")]
    TimedOut {
        /// The oldest request without an answer, or `connect`.
        api: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The broker sent bytes that do not follow the protocol.
    #[error("the answer to {api} cannot be read")]
    Protocol {
        /// The request that was answered.
        api: &'static str,
        /// What is wrong with the bytes.
        #[source]
        source: DecodeError,
    },
    /// The broker answered a request that was not asked.
    #[error("an answer to request {found} came where {expected:?} is the oldest asked")]
    Correlation {
        /// The oldest unanswered request, if there is one.
        expected: Option<i32>,
        /// What the answer says.
        found: i32,
    },
    /// The broker and this client have no common version of an API that is needed.
    #[error(
        "{api}: the broker speaks versions {theirs:?}, this client {ours:?}; brokers from Kafka 3.9 on are supported"
    )]
    Version {
        /// The API.
        api: &'static str,
        /// This client's versions, lowest and highest.
        ours: (i16, i16),
        /// The broker's, `None` if it does not have the API at all.
        theirs: Option<(i16, i16)>,
    },
    /// The broker refused the handshake.
    #[error("the broker refused {api}")]
    Refused {
        /// The request that was refused.
        api: &'static str,
        /// The broker's code.
        #[source]
        code: ErrorCode,
    },
    /// The broker and this client did not agree on who this client is.
    #[error(transparent)]
    Authentication(Box<AuthenticationError>),
    /// A connection that was authenticated could not be authenticated again, as the broker wants from time to time; a new
    /// one is made.
    #[error("the authentication of the connection could not be renewed")]
    Reauthentication(#[source] Box<AuthenticationError>),
    /// A request could not be written.
    #[error("the request cannot be written")]
    Encode(#[source] EncodeError),
    /// This side closed the connection.
    #[error("the client is closed")]
    Shutdown,
}

impl ConnectionError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Version { .. }
            | Self::Untrusted { .. }
            | Self::ClientCertificate { .. }
            | Self::Encode(_)
            | Self::Shutdown => false,
            Self::Authentication(error) => error.is_retriable(),
            _ => true,
        }
    }

    /// The failed authentication, if that is what it is and nothing changes by trying again.
    pub(crate) const fn fatal_authentication(&self) -> Option<&AuthenticationError> {
        match self {
            Self::Authentication(error) if !error.is_retriable() => Some(error),
            _ => None,
        }
    }
}

/// Why a request to the cluster has no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection could not be made or broke before the answer.
    #[error("{api}: no answer from the broker")]
    Connection {
        /// The request.
        api: &'static str,
        /// What happened to the connection.
        #[source]
        source: ConnectionError,
    },
    /// The broker refused it.
    #[error("{api} was refused")]
    Broker {
        /// The request.
        api: &'static str,
        /// The broker's code.
        #[source]
        code: ErrorCode,
        /// What the broker said besides, if anything.
        message: Option<String>,
    },
    /// The broker does not let this client do it.
    #[error("{api} is not allowed")]
    Unauthorized {
        /// The request.
        api: &'static str,
        /// What it is about, and what to grant.
        #[source]
        source: AuthorizationError,
    },
    /// No answer within the whole time that the operation may take, retries included.
    #[error("{api}: no success within {after:?}")]
    TimedOut {
        /// The request.
        api: &'static str,
        /// The whole time.
        after: Duration,
        /// The last failure, if one was seen.
        #[source]
        last: Option<Box<Self>>,
    },
    /// The topic does not exist, as far as the cluster says.
    #[error(
        "topic {topic:?} does not exist; create it first (this client never creates topics by mentioning them)"
    )]
    UnknownTopic {
        /// Its name.
        topic: Arc<str>,
    },
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl RequestError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connection { source, .. } => source.is_retriable(),
            Self::Broker { code, .. } => code.is_retriable(),
            // A topic that was just created is not known to every broker at once.
            Self::TimedOut { .. } | Self::UnknownTopic { .. } => true,
            Self::Closed | Self::Unauthorized { .. } => false,
        }
    }

    /// A refusal by the broker; `name` and `grant` are of use where it says that something is not allowed.
    pub(crate) fn refused(
        api: &'static str,
        code: ErrorCode,
        message: Option<String>,
        name: &str,
        grant: &'static str,
    ) -> Self {
        match AuthorizationError::of(code, name, grant) {
            Some(source) => Self::Unauthorized { api, source },
            None => Self::Broker { api, code, message },
        }
    }

    /// The failed authentication, if that is what it is and nothing changes by trying again.
    pub(crate) const fn fatal_authentication(&self) -> Option<&AuthenticationError> {
        match self {
            Self::Connection { source, .. } => source.fatal_authentication(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_with_name_and_number() {
        assert_eq!(ErrorCode::NOT_LEADER_OR_FOLLOWER.to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
        assert_eq!(ErrorCode(999).to_string(), "broker error 999");
    }

    #[test]
    fn unknown_codes_are_not_retried() {
        assert!(!ErrorCode(999).is_retriable());
        assert!(ErrorCode::NOT_ENOUGH_REPLICAS.is_retriable());
    }
}
