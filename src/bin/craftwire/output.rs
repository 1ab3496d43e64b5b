//! The two streams: data on standard output, everything else on standard error.
//!
//! Invariant: whoever reads our output may stop at any time; that ends the program quietly.

use std::{
    fmt,
    io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write},
};

use crate::exit::{Exit, Failure};

/// Standard output, buffered until [`flush`](Data::flush).
pub(crate) struct Data {
    out: BufWriter<StdoutLock<'static>>,
}

/// Nobody reads standard output any more, or it cannot be written.
#[derive(Debug)]
pub(crate) enum DataError {
    /// The reader closed it: nothing is left to do.
    Closed,
    /// It cannot be written.
    Broken(io::Error),
}

impl Data {
    pub(crate) fn stdout() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()) }
    }

    /// Writes `bytes` and the end of a line.
    pub(crate) fn line(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.out.write_all(bytes)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Writes `text` as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), DataError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    pub(crate) fn flush(&mut self) -> Result<(), DataError> {
        Ok(self.out.flush()?)
    }
}

impl From<io::Error> for DataError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Broken(error),
        }
    }
}

impl DataError {
    /// How a command ends on it.
    pub(crate) fn end(self) -> Result<Exit, Failure> {
        match self {
            Self::Closed => Ok(Exit::Done),
            Self::Broken(error) => Err(Failure::because(Exit::Failed, "writing standard output", &error)),
        }
    }
}

/// Writes a line to standard error. If that fails there is nobody left to tell.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether colours are wanted on standard output (<https://no-color.org>).
pub(crate) fn stdout_has_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout_is_terminal() && !refused && !dumb
}

const BUFFER_BYTES: usize = 64 * 1024;
