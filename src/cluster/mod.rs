//! Many brokers: who leads what, and connections to them. Imports: net, wire.
//!
//! [`metadata`] decides what is known of the cluster, [`calls`] who is answered; [`handle`] is the one door for the
//! producer, the consumer and the admin.

mod calls;
mod coordinators;
mod handle;
mod lane_task;
mod metadata;
mod published;
mod refresher;

pub(crate) use handle::{Caller, Cluster, Target};
pub(crate) use lane_task::LaneTask;
pub(crate) use metadata::{Broker, Partition, Topic, Topology};
