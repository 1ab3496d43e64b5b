//! Public handles, errors and values stay usable across tasks and threads. Compiling this file is the test.
//!
//! A type that lands in the public API gets its line here.

use craftwire::error::{ConnectionError, DecodeError, EncodeError, ErrorCode, RequestError};
use std::error::Error;

fn is_portable<T: Send + Sync + Unpin + 'static>() {}
fn is_cloneable<T: Clone>() {}
fn is_error<T: Error + Send + Sync + Unpin + 'static>() {}

#[test]
fn errors_travel_between_threads_and_into_boxes() {
    is_error::<ConnectionError>();
    is_error::<DecodeError>();
    is_error::<EncodeError>();
    is_error::<RequestError>();
}

#[test]
fn values_travel_between_threads() {
    is_portable::<ErrorCode>();
    is_cloneable::<ErrorCode>();
}
