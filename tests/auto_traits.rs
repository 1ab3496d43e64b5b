//! Public handles, errors and values stay usable across tasks and threads. Compiling this file is the test.
//!
//! A type that lands in the public API gets its line here.

use craftwire::{
    Compression, ParseCompressionError,
    admin::{Admin, AdminError, BrokerInfo, ConfigValue, NewTopic, PartitionLag, TopicInfo},
    crafting::{
        Envelope, Event, EventDraft, EventRef, Malformed, NotAnEvent, Parsed, ProgressUpdate, SessionEvent,
        UnknownEvent,
    },
    error::{ConnectionError, DecodeError, EncodeError, ErrorCode, RequestError},
    producer::{
        Ack, CloseReport, Delivery, DeliveryError, NotSent, Producer, ProducerBuilder, ProducerMetrics,
        ProducerRecord, SendError, StartError, TrySendError, Unknown,
    },
};
use std::error::Error;

const fn is_portable<T: Send + Sync + Unpin + 'static>() {}
const fn is_cloneable<T: Clone>() {}
const fn is_error<T: Error + Send + Sync + Unpin + 'static>() {}

#[cfg(feature = "tls")]
#[test]
fn tls_settings_are_shared_and_their_errors_travel() {
    is_portable::<craftwire::Tls>();
    is_cloneable::<craftwire::Tls>();
    is_portable::<craftwire::TlsBuilder>();
    is_cloneable::<craftwire::TlsBuilder>();
    is_portable::<craftwire::TlsVersion>();
    is_error::<craftwire::TlsError>();
}

#[test]
fn handles_are_shared_between_tasks() {
    is_portable::<Admin>();
    is_cloneable::<Admin>();
}

#[test]
fn errors_travel_between_threads_and_into_boxes() {
    is_error::<AdminError>();
    is_error::<ConnectionError>();
    is_error::<DecodeError>();
    is_error::<EncodeError>();
    is_error::<NotAnEvent>();
    is_error::<ParseCompressionError>();
    is_error::<RequestError>();
}

#[test]
fn values_travel_between_threads() {
    is_portable::<BrokerInfo>();
    is_portable::<Compression>();
    is_portable::<ConfigValue>();
    is_portable::<ErrorCode>();
    is_portable::<NewTopic>();
    is_portable::<PartitionLag>();
    is_portable::<TopicInfo>();
    is_cloneable::<ErrorCode>();
}

#[test]
fn producing_works_across_tasks() {
    is_portable::<Producer>();
    is_portable::<ProducerBuilder>();
    is_portable::<ProducerRecord>();
    is_portable::<ProducerMetrics>();
    is_portable::<Delivery>();
    is_portable::<Ack>();
    is_portable::<CloseReport>();
    is_cloneable::<Producer>();
    is_cloneable::<ProducerRecord>();
    is_error::<DeliveryError>();
    is_error::<NotSent>();
    is_error::<SendError>();
    is_error::<StartError>();
    is_error::<TrySendError>();
    is_error::<Unknown>();
}

#[test]
fn events_travel_between_threads() {
    is_portable::<Envelope>();
    is_portable::<EventRef<'static, SessionEvent>>();
    is_portable::<EventRef<'static, ProgressUpdate>>();
    is_portable::<Event<SessionEvent>>();
    is_portable::<EventDraft<ProgressUpdate>>();
    is_portable::<Malformed>();
    is_portable::<Parsed<SessionEvent>>();
    is_portable::<UnknownEvent>();
    is_cloneable::<Event<SessionEvent>>();
}
