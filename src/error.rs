//! One error type for all modules: what kind of thing failed, and a text for the person who reads it.

use std::fmt;

/// What failed; the element turns it into a GStreamer error domain and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// ONNX Runtime is not there or does not load.
    Runtime,
    /// A model is not known, not installed, or its file is not there.
    ModelNotFound,
    /// A model file is there but cannot be used.
    ModelInvalid,
    /// A setting's value cannot be used.
    Setting,
    /// The network failed while it ran.
    Inference,
    /// What the network gives is no mask at all: it was not made for this, or is broken.
    Unsuited,
    /// A run was ended from outside; nobody wants its result.
    Cancelled,
}

/// An error: its text names the thing, what was wrong, and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub text: String,
}

impl Error {
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A buffer, or a frame, is not what its caps say.
    pub fn unreadable(what: &str) -> Self {
        Self::new(ErrorKind::Inference, format!("{what} does not fit its caps"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;
