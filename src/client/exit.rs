//! Exit codes of `ballot`: one number per way of ending, so that a script need not read words.

/// How a command ended. The numbers are part of the interface and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done: what was asked for is so, and was proved where it can be proved.
    Done = 0,
    /// Something on this machine failed: a file, the disk, the operating system.
    Failed = 1,
    /// The command line, a file given on it or a code typed in is wrong.
    Usage = 2,
    /// No node of the network answered in time.
    NoPeers = 3,
    /// The network refused the transaction; the reason was shown.
    Rejected = 4,
    /// The deadline passed and it is not known whether the transaction will be in the chain. Asking again later, or
    /// submitting the same again, does no harm.
    Unknown = 5,
    /// A proof, a receipt or a genesis does not hold, or it belongs to another network.
    Unverified = 6,
    /// Stopped by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Exit {
    /// Every way of ending, in the order of the numbers.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoPeers,
        Self::Rejected,
        Self::Unknown,
        Self::Unverified,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in `--json` output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NoPeers => "no_peers",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Unverified => "unverified",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The table that `--help` ends with.
pub const HELP: &str = "\
Exit codes:
    0  done, and proved where it can be proved
    1  something on this machine failed (a file, the disk)
    2  wrong command line, file or code
    3  no node of the network answered
    4  the network refused; the reason is shown
    5  unknown when the time was up; trying again does no harm
    6  a proof, receipt or genesis does not hold or is another network's
  130  interrupted";

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
        let names: std::collections::HashSet<_> =
            Exit::ALL.iter().map(|exit| exit.name()).collect();
        assert_eq!(names.len(), Exit::ALL.len());
    }
}
