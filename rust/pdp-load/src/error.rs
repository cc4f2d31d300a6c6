//! Why a run is void.

/// Why a run gave no result. There is no partial result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration is out of range.
    #[error("config: {0}")]
    Config(String),
    /// The requests cannot be read.
    #[error("requests: {0}")]
    Requests(String),
    /// The connection failed.
    #[error("transport: {0}")]
    Transport(String),
    /// The target answered with a gRPC or HTTP status that is not success.
    #[error("request {request} was refused with status {status}: {message}")]
    Status {
        /// Index of the request.
        request: usize,
        /// gRPC or HTTP status.
        status: String,
        /// The target's message.
        message: String,
    },
    /// The answer is not the expected one.
    #[error("request {request} was answered wrongly: {reason}")]
    WrongAnswer {
        /// Index of the request.
        request: usize,
        /// What was expected and not found.
        reason: String,
    },
    /// Answers were outstanding when the time was over.
    #[error("answers were outstanding {0} s after the end")]
    Stalled(f64),
    /// Nothing was measured.
    #[error("no request was answered within the measured time")]
    Empty,
    /// The generator itself failed.
    #[error("generator: {0}")]
    Generator(String),
}

impl From<std::io::Error> for LoadError {
    fn from(error: std::io::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

impl From<h2::Error> for LoadError {
    fn from(error: h2::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

impl From<hyper::Error> for LoadError {
    fn from(error: hyper::Error) -> Self {
        Self::Transport(error.to_string())
    }
}
