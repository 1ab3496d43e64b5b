#![doc = include_str!("../README.md")]

mod backoff;
mod cluster;
mod config;
mod net;
mod wire;

pub mod admin;
pub mod client;
pub mod consumer;
pub mod crafting;
pub mod error;
pub mod metrics;
pub mod producer;

pub use admin::Admin;
pub use client::{Client, ClientBuilder, ConnectError};
pub use config::{ConfigError, HostPort};
pub use consumer::{Consumer, ConsumerRecord};
pub use producer::{Producer, ProducerRecord};
pub use wire::compression::{Compression, ParseCompressionError};

#[cfg(feature = "sasl")]
pub use net::sasl::{BearerToken, Sasl, TokenError, TokenFuture, TokenProvider};
#[cfg(feature = "tls")]
pub use net::tls::{Tls, TlsBuilder, TlsError, TlsVersion};

#[cfg(feature = "mock")]
pub mod mock;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
