//! Why a command ends early, with the exit code that says so.

use std::fmt::Display;

use crate::client::error::{MakeError, SessionError};
use crate::client::exit::Exit;
use crate::client::home::HomeError;
use crate::client::link::AskError;
use crate::client::select::SelectError;
use crate::crypto::secret_file::SecretFileError;
use crate::join::JoinError;

/// A failure for people, with its exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, where, and as far as known what to do.
    pub message: String,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    /// What somebody typed, or a file that was named, is wrong.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something on this machine failed.
    pub fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self::usage(error)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let exit = match &error {
            HomeError::NoHome
            | HomeError::NotAFile
            | HomeError::Code { .. }
            | HomeError::Exists { .. } => Exit::Usage,
            HomeError::Secret(SecretFileError::Passphrase(_) | SecretFileError::Exists { .. }) => {
                Exit::Usage
            }
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<MakeError> for Failure {
    fn from(error: MakeError) -> Self {
        let exit = match &error {
            MakeError::InvitationNeeded => Exit::Usage,
            MakeError::Cancelled => Exit::Interrupted,
            MakeError::Random(_) | MakeError::Stamp(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Make(error) => error.into(),
            SessionError::Start(_) => Self::failed(error),
            SessionError::NoNodes { .. } => Self::new(Exit::NoPeers, error),
            SessionError::NoAnswer(
                AskError::Unfit | AskError::Decode(_) | AskError::Refuted(_),
            ) => Self::new(Exit::Unverified, error),
            SessionError::NoAnswer(_) => Self::new(Exit::NoPeers, error),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let exit = match &error {
            JoinError::NobodyToAsk => Exit::Usage,
            JoinError::Start(_) => Exit::Failed,
            JoinError::Unreachable { .. } => Exit::NoPeers,
            JoinError::Malformed { .. }
            | JoinError::Unusable { .. }
            | JoinError::OtherNetwork { .. } => Exit::Unverified,
        };
        Self::new(exit, error)
    }
}
