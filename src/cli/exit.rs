//! Exit codes of `votenode`, and failures that lead to them.

use std::fmt::Display;

use serde_json::json;

use crate::crypto::code::redact;

/// How a command ended. The numbers are part of the interface and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something on this machine failed: a file, the operating system.
    Failed = 1,
    /// The command line, a variable, a configuration file or a file given on the command line is wrong.
    Usage = 2,
    /// Another process uses the data directory.
    Locked = 3,
    /// The database is damaged, or of a later release.
    Corrupt = 4,
    /// The data directory, a file or a bootstrap peer belongs to another network.
    WrongNetwork = 5,
    /// A port or address cannot be listened on.
    Port = 6,
    /// The disk is full.
    DiskFull = 7,
    /// The audit found an error.
    AuditFailed = 8,
    /// No node runs on the data directory.
    NoNode = 9,
    /// The node refused a transaction or is too busy.
    Refused = 10,
    /// Conflicting checkpoints, or another state that only its operator can judge.
    Halted = 11,
    /// Stopped by Ctrl-C or a signal before it was done. A node that is stopped so ends with 0.
    Interrupted = 130,
}

impl Exit {
    /// Every way of ending, in the order of the numbers.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Locked,
        Self::Corrupt,
        Self::WrongNetwork,
        Self::Port,
        Self::DiskFull,
        Self::AuditFailed,
        Self::NoNode,
        Self::Refused,
        Self::Halted,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Locked => "locked",
            Self::Corrupt => "corrupt",
            Self::WrongNetwork => "wrong_network",
            Self::Port => "port",
            Self::DiskFull => "disk_full",
            Self::AuditFailed => "audit_failed",
            Self::NoNode => "no_node",
            Self::Refused => "refused",
            Self::Halted => "halted",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table that `--help` ends with.
pub const HELP: &str = "\
Exit codes:
    0  done
    1  something on this machine failed (a file, the operating system)
    2  wrong command line, environment, configuration or input file
    3  another process uses the data directory
    4  the database is damaged, or of a later release
    5  another network than asked for
    6  a port is in use or an address cannot be listened on
    7  the disk is full
    8  the audit found an error
    9  no node runs on the data directory
   10  the node refused, or is too busy
   11  the node stopped itself and needs its operator's judgement
  130  interrupted before it was done";

/// Why a command ends early: what is wrong, where, and as far as known what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For people.
    pub message: String,
    /// The rule that a chain breaks, where that is what is wrong.
    pub rule: Option<&'static str>,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            rule: None,
        }
    }

    /// With the rule that a chain breaks.
    pub fn breaking(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// What `--json` prints of it: the message with whatever looks like a secret left out, and the exit code.
    pub fn to_json(&self) -> serde_json::Value {
        let mut error = json!({ "message": redact(&self.message) });
        if let Some(rule) = self.rule {
            error["rule"] = json!(rule);
        }
        json!({ "ok": false, "error": error, "exit": self.exit.name(), "exit_code": self.exit.code() })
    }

    /// What a person or a file said is wrong.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something on this machine failed.
    pub fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An operation on a file failed; a full disk has a code of its own, and a file that is in the way is a mistake of
    /// whoever named it.
    pub fn file(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::AlreadyExists;
        match error.kind() {
            AlreadyExists if matches!(action, "write" | "make the directory") => Self::usage(
                format!("{} exists already and is not overwritten", path.display()),
            ),
            _ => Self::on_disk(
                error,
                format!("cannot {action} {}: {error}", path.display()),
            ),
        }
    }

    /// The system refused something on the disk; a full disk has a code of its own.
    pub fn on_disk(error: &std::io::Error, message: impl Display) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let exit = match error.kind() {
            StorageFull | QuotaExceeded => Exit::DiskFull,
            _ => Exit::Failed,
        };
        Self::new(exit, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code_once_and_in_order() {
        let listed: Vec<u8> = HELP
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(listed, Exit::ALL.map(Exit::code));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> =
            Exit::ALL.iter().map(|exit| exit.name()).collect();
        assert_eq!(names.len(), Exit::ALL.len());
    }

    #[test]
    fn a_full_disk_has_its_own_code() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure = Failure::file("write", std::path::Path::new("x"), &full);
        assert_eq!(failure.exit, Exit::DiskFull);
    }
}
