//! Why a demo ends without an outcome.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What kind of thing went wrong, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Something that the demo claims was not seen.
    NotSeen,
    /// This machine does not let the demo do its work.
    Machine,
    /// The disk is full.
    DiskFull,
    /// It was asked for something that cannot be.
    Usage,
    /// Somebody ended it.
    Interrupted,
}

/// Why a demo ended early.
#[derive(Debug)]
pub struct DemoError {
    /// What kind of thing went wrong.
    pub problem: Problem,
    /// What was going on.
    pub step: Option<String>,
    /// What happened, or what did not.
    pub message: String,
    /// Where data and logs are, if they were left.
    pub directory: Option<PathBuf>,
}

impl std::error::Error for DemoError {}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "{step}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(directory) = &self.directory {
            write!(
                f,
                "\nThe logs of all processes are in {}",
                directory.display()
            )?;
        }
        Ok(())
    }
}

impl DemoError {
    fn new(problem: Problem, message: impl fmt::Display) -> Self {
        Self {
            problem,
            step: None,
            message: message.to_string(),
            directory: None,
        }
    }

    /// Something claimed was not seen.
    pub fn not_seen(message: impl fmt::Display) -> Self {
        Self::new(Problem::NotSeen, message)
    }

    /// The machine does not let the demo do something.
    pub fn machine(action: &str, error: &io::Error) -> Self {
        let problem = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::DiskFull,
            _ => Problem::Machine,
        };
        Self::new(problem, format!("cannot {action}: {error}"))
    }

    /// The machine does not let the demo do something with a file.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::machine(&format!("{action} {}", path.display()), error)
    }

    /// It was asked for something that cannot be.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Problem::Usage, message)
    }

    /// Somebody ended it.
    pub fn interrupted() -> Self {
        Self::new(Problem::Interrupted, "interrupted")
    }

    /// Says what was going on, unless that is known.
    pub fn during(mut self, step: &str) -> Self {
        self.step.get_or_insert_with(|| step.to_owned());
        self
    }
}
