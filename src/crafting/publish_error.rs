//! How publishing can fail, per operation: making a publisher, publishing an event, offering an update.

use super::{
    event::Event,
    progress::ProgressUpdate,
    topic::Topic,
    violation::{InvalidValue, Violation},
};
use crate::producer::{DeliveryError, SendError, StartError, TrySendCause};

/// Why a publisher could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// The source's name is not `domain.service`.
    #[error("the source's name cannot be used")]
    Source(#[source] InvalidValue),
    /// A producer did not start.
    #[error("the producer for {topic} did not start")]
    Start {
        /// The topic.
        topic: Topic,
        /// Why.
        #[source]
        source: StartError,
    },
    /// A topic's partitions are not known; create the topics first, with `Crafting::topics().ensure()`.
    #[error("{topic} cannot be published to; create the topics first")]
    Topic {
        /// The topic.
        topic: Topic,
        /// Why.
        #[source]
        source: SendError,
    },
}

impl PublisherError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Start { source, .. } => source.is_retriable(),
            Self::Topic { source, .. } => source.is_retriable(),
        }
    }
}

/// Why an event was not published.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event breaks a rule of the contract; correct it.
    #[error("the event breaks a rule")]
    Invalid(#[source] Violation),
    /// The event was not taken: nothing of it was sent.
    #[error("the event was not taken")]
    Send(#[source] SendError),
    /// The event was taken, and was not written or may not have been.
    #[error("the event was not delivered")]
    Delivery(#[source] DeliveryError),
}

impl PublishError {
    /// Whether publishing the event again may succeed, and surely makes no duplicate.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Invalid(_) => false,
            Self::Send(cause) => cause.is_retriable(),
            Self::Delivery(cause) => cause.is_retriable(),
        }
    }
}

/// An update that was not taken, and why: it is given back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the update was not taken")]
pub struct OfferError {
    /// The update, stamped.
    pub event: Box<Event<ProgressUpdate>>,
    /// Why.
    #[source]
    pub cause: OfferCause,
}

/// Why an offered update was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OfferCause {
    /// It breaks a rule of the contract.
    #[error("it breaks a rule")]
    Invalid(#[source] Violation),
    /// There is no room, or the publisher is closed.
    #[error("there is no room for it")]
    Send(#[source] TrySendCause),
}
