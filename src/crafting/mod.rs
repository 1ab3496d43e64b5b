//! The crafting domain: typed events in, typed events out.
//!
//! The wire contract of the two topics as types. A value of these types is a value that the contract allows: numbers
//! in range, names out of closed lists, a reason only where there is a failure. Reading checks every rule and says
//! where which one broke; writing cannot fail.

mod cluster_names;
mod codec;
mod envelope;
mod event;
mod event_ids;
mod form;
mod handle;
mod json;
mod list;
mod material;
mod names;
mod progress;
mod provision;
mod publish_error;
mod publisher;
mod session;
mod subscriber;
mod timestamp;
mod topic;
mod topic_lane;
mod values;
mod violation;

#[cfg(feature = "internals")]
pub(crate) use codec::check_event_json;
pub use codec::{Malformed, NotAnEvent, Parsed, UnknownEvent, decode, encode, parse};
pub use envelope::{Envelope, Metadata, Tags};
pub use event::{Body, Event, EventDraft, EventRef};
pub use form::{Borrowed, Form, Owned};
pub use list::{Items, List};
pub use material::{Location, Material, Materials};
pub use names::{
    CancelReason, FailureReason, MaterialQuality, PauseReason, PayloadCompression, Priority, Quality,
};
pub use progress::{ProgressUpdate, Status, StatusRef, Step};
pub use session::{
    SessionCancel, SessionComplete, SessionEvent, SessionEventRef, SessionFail, SessionPause, SessionResume,
    SessionStart,
};
pub use timestamp::Timestamp;
pub use topic::{CONSUMERS_MAX, Group, LAG_ALERT_EVENTS, Topic};
pub use values::{
    CraftingDuration, EstimatedDuration, EventType, Percent, QualityScore, Quantity, RetryCount, Seconds,
    SizeBytes, Source, Ttl, Version,
};
pub use violation::{InvalidValue, Rule, Violation};

use cluster_names::Names;
pub use handle::{Crafting, CraftingBuilder};
pub use provision::{
    Drift, Drifted, GroupOutcome, GroupReport, Provision, ProvisionError, TopicOutcome, TopicReport, Topics,
};
pub use publish_error::{OfferCause, OfferError, PublishError, PublisherError};
pub use publisher::{
    Published, Publisher, PublisherBuilder, PublisherCloseReport, PublisherMetrics, Receipt,
};
pub use subscriber::{Delivered, Subscriber, SubscriberBuilder};
