//! How the program ends: exit codes, and errors with their causes.

use std::{error::Error, fmt, process::ExitCode};

/// What the program's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// It failed.
    Failed,
    /// It was asked for something that makes no sense.
    Usage,
    /// Kafka cannot be reached, or does not let us in.
    Unreachable,
    /// Some of it was not done; what, stands on standard error.
    Partly,
    /// A service level was missed.
    SloMissed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Partly => 4,
            Exit::SloMissed => 5,
        })
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<&'static str>,
}

impl Failure {
    /// A failure of its own.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// What was being done, and what came in between.
    pub(crate) fn because(exit: Exit, doing: &str, cause: &dyn Error) -> Self {
        Self::new(exit, format!("{doing}: {}", chain(cause)))
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent wrapper says the same as what it wraps.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: caused by {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the house is cold")]
    struct Cold(#[source] Open);

    #[derive(Debug, thiserror::Error)]
    #[error("the door is open")]
    struct Open;

    #[test]
    fn causes_follow_what_they_caused() {
        let failure = Failure::because(Exit::Failed, "living", &Cold(Open)).hint("Close the door.");
        assert_eq!(
            failure.to_string(),
            "error: living: the house is cold: caused by the door is open\n  Close the door."
        );
    }
}
