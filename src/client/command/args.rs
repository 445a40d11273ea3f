//! The command line of `ballot`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use votenode_p2p::Multiaddr;
use zeroize::Zeroizing;

use crate::client::exit;
use crate::client::time::{TimeError, parse_duration};
use crate::config::{Address, ValueError};

/// Register, open elections, vote and see results, with no server.
///
/// ballot joins the network of votenodes, hands in what you sign, waits for the proof that it is in the chain, and
/// leaves. Without flags it finds the nodes of the local network by itself.
#[derive(Debug, Parser)]
#[command(
    name = "ballot",
    version,
    after_long_help = AFTER_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  ballot register
  ballot open config/election-example.toml --closes-in 60s
  ballot elections
  ballot cast \"Where do we meet?\" Library
  ballot results \"Where do we meet?\"
  ballot --bootstrap /ip4/192.0.2.7/tcp/7117 status

Every flag of the list above is also a variable, VOTENODE_NETWORK and so on.

What it does not do: whoever knows your voter_id can vote for you and prove how you voted. Where anybody may
register, results are not one person, one vote.

";

/// Flags of all commands.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The network: a genesis file, a network id, or "lan" for the compiled-in one [default: the network remembered
    /// beside the voter file, else lan].
    #[arg(
        long,
        global = true,
        env = "VOTENODE_NETWORK",
        value_name = "FILE|ID",
        help_heading = "Network"
    )]
    pub network: Option<String>,
    /// Address of a node, such as /ip4/192.0.2.7/tcp/7117; may be given several times. /p2p/… may be omitted.
    #[arg(
        long,
        global = true,
        env = "VOTENODE_BOOTSTRAP",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address,
        help_heading = "Network"
    )]
    pub bootstrap: Vec<Multiaddr>,
    /// Do not look for nodes on the local network.
    #[arg(long, global = true, env = "VOTENODE_NO_MDNS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, hide_default_value = true, help_heading = "Network")]
    pub no_mdns: bool,
    /// Listen on this address too; a voter needs none.
    #[arg(
        long,
        global = true,
        env = "VOTENODE_BALLOT_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address,
        help_heading = "Network"
    )]
    pub listen: Vec<Multiaddr>,
    /// The voter file [default: votenode/voter in $XDG_DATA_HOME or ~/.local/share].
    #[arg(
        long,
        global = true,
        env = "VOTENODE_VOTER",
        value_name = "FILE",
        help_heading = "Voter"
    )]
    pub voter: Option<PathBuf>,
    /// File with the passphrase of the voter file; without it the passphrase is asked for.
    #[arg(
        long,
        global = true,
        env = "VOTENODE_PASSPHRASE_FILE",
        value_name = "FILE",
        help_heading = "Voter"
    )]
    pub passphrase_file: Option<PathBuf>,
    /// Print one JSON object on standard output.
    #[arg(long, global = true, env = "VOTENODE_JSON", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, hide_default_value = true, help_heading = "Output")]
    pub json: bool,
    /// Give up after so many seconds; 10m and the like are understood too.
    #[arg(long, global = true, env = "VOTENODE_TIMEOUT", value_name = "SECS", default_value = "60", value_parser = seconds, help_heading = "Output")]
    pub timeout: Duration,
    /// Wait until the transaction is in a block, or until that block is final (or deep enough, where nobody finalises)
    /// [default: final where organisers finalise, else included].
    #[arg(
        long,
        global = true,
        env = "VOTENODE_UNTIL",
        value_name = "STATE",
        help_heading = "Output"
    )]
    pub until: Option<Until>,
}

/// A secret code from the command line: wiped when dropped, and not shown.
#[derive(Clone)]
pub struct Code(pub Zeroizing<String>);

impl std::str::FromStr for Code {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// In a block of the best chain.
    Included,
    /// In a final block.
    Final,
}

fn address(text: &str) -> Result<Multiaddr, ValueError> {
    text.parse::<Address>().map(|address| address.0)
}

fn seconds(text: &str) -> Result<Duration, TimeError> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => parse_duration(text),
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join the electoral roll.
    Register(Register),
    /// List elections, or show one.
    Elections(Elections),
    /// Open an election.
    Open(Open),
    /// Vote.
    Cast(Cast),
    /// Show your registration and votes, and where they are.
    Status,
    /// Show, check or fetch receipts.
    Receipt(Receipts),
    /// Show the result of an election.
    Results(Results),
    /// Hand in signed transactions from a file: votes made offline, invitations.
    Submit(Submit),
    /// Make, show or restore your voter_id.
    Voter(Voters),
}

/// `ballot register`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot register
  ballot register --invitation -                 then type or paste the code, which is not shown
  ballot register --invitation-file code.txt
  ballot register --passphrase

The first registration makes the voter file. Keep a copy of it: whoever has it can vote for you,
and without it you cannot. Registering again does no harm.")]
pub struct Register {
    /// The code of an invitation, or - to type it or read it from standard input. A code that stands in the command
    /// itself is seen by everybody on this machine while it runs, and kept by your shell.
    #[arg(
        long,
        value_name = "CODE",
        env = "VOTENODE_INVITATION",
        hide_env_values = true
    )]
    pub invitation: Option<Code>,
    /// File with the code of an invitation, which only you can read.
    #[arg(long, value_name = "FILE", conflicts_with = "invitation")]
    pub invitation_file: Option<PathBuf>,
    /// Protect a new voter file with a passphrase.
    #[arg(long)]
    pub passphrase: bool,
    /// Print the voter_id: to write it down, with nobody looking.
    #[arg(long)]
    pub show_voter_id: bool,
}

/// `ballot elections`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot elections
  ballot elections Lunch
  ballot elections Lunch --save lunch.election    to vote without a network")]
pub struct Elections {
    /// Show this one alone: its id, the beginning of its id, or its title.
    pub election: Option<String>,
    /// Write the election to a file, for ballots made without a network.
    #[arg(long, value_name = "FILE", requires = "election")]
    pub save: Option<PathBuf>,
}

/// `ballot open`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot open config/election-example.toml --closes-in 60s
  ballot open board.toml --organiser-key organiser.key

The file is TOML with the keys title, question, options, method (plurality, approval), seats,
opens_at, closes_at, roll_closes_at, groups, privacy, secrecy. Times are written with their zone: 2027-03-01T18:00:00+01:00.")]
pub struct Open {
    /// The election file.
    pub file: PathBuf,
    /// File with the organiser's secret key; where anyone may open elections, your voter file's own key serves.
    #[arg(long, value_name = "FILE", env = "VOTENODE_ORGANISER_KEY")]
    pub organiser_key: Option<PathBuf>,
    /// Polls open so long from now [default: opens_at of the file, else at once].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub opens_in: Option<Duration>,
    /// Polls close so long from now [default: closes_at of the file].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub closes_in: Option<Duration>,
}

/// `ballot cast`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot cast \"Where do we meet?\" Library
  ballot cast 3fa9c1 2                  the second option; the id begins so
  ballot cast Board Ada Grace           several, where the method is approval
  ballot cast Lunch --blank

Without a network:
  ballot elections Lunch --save lunch.election     where there is a network
  ballot cast Lunch Pizza --election-file lunch.election --offline vote.txt
  ballot submit vote.txt                           anybody, with a network
An election that this voter's ballot has seen before needs no file.")]
pub struct Cast {
    /// The election: its id, the beginning of its id, or its title.
    pub election: String,
    /// What you choose: the option's text, the beginning of it, or its number.
    pub choices: Vec<String>,
    /// Cast a ballot that counts and names nothing.
    #[arg(long, conflicts_with = "choices")]
    pub blank: bool,
    /// Write the signed vote to a file instead of handing it in; needs no network.
    #[arg(long, value_name = "FILE")]
    pub offline: Option<PathBuf>,
    /// Take the election from a file that `ballot elections --save` wrote.
    #[arg(long, value_name = "FILE", requires = "offline")]
    pub election_file: Option<PathBuf>,
}

/// `ballot receipt`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot receipt show
  ballot receipt verify ~/.local/share/votenode/voter.d/receipts/3fa9…
  ballot --network genesis.toml receipt verify FILE
  ballot receipt get 3fa9c1…")]
pub struct Receipts {
    /// What to do.
    #[command(subcommand)]
    pub command: ReceiptCommand,
}

/// What can be done with receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// List your receipts, or show one file. Needs no network.
    Show {
        /// The file.
        file: Option<PathBuf>,
    },
    /// Check a receipt with nothing but the genesis: work, linkage, Merkle path, signature. Needs no network.
    Verify {
        /// The file.
        file: PathBuf,
    },
    /// Fetch the receipt of a transaction that is in the chain.
    Get {
        /// The transaction's id; without one, those of all your transactions.
        transaction: Option<String>,
    },
}

/// `ballot results`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot results Lunch
  ballot results 3fa9c1 --json")]
pub struct Results {
    /// The election: its id, the beginning of its id, or its title.
    pub election: String,
}

/// `ballot submit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot submit vote.txt
  ballot submit invitations.txt

Handing in the same file again does no harm.")]
pub struct Submit {
    /// The file.
    pub file: PathBuf,
}

/// `ballot voter`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ballot voter new --passphrase
  ballot voter show
  ballot voter show --show-voter-id
  ballot --voter ~/old.voter voter restore")]
pub struct Voters {
    /// What to do.
    #[command(subcommand)]
    pub command: VoterCommand,
}

/// What can be done with voter files.
#[derive(Debug, Subcommand)]
pub enum VoterCommand {
    /// Make a voter file. `register` does it by itself.
    New {
        /// Protect it with a passphrase.
        #[arg(long)]
        passphrase: bool,
        /// Print the voter_id.
        #[arg(long)]
        show_voter_id: bool,
    },
    /// Show where the voter file is and which voter key is in it.
    Show {
        /// Print the voter_id.
        #[arg(long)]
        show_voter_id: bool,
    },
    /// Make the voter file from a voter_id, which is asked for or read from standard input.
    Restore {
        /// Protect it with a passphrase.
        #[arg(long)]
        passphrase: bool,
    },
}

/// The command line as clap sees it, with the exit codes at the end of the help.
pub fn command() -> clap::Command {
    use clap::CommandFactory as _;
    let help = format!("{AFTER_HELP}{}", exit::HELP);
    Cli::command()
        .after_long_help(help.clone())
        .after_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn an_invitation_is_not_shown_and_comes_in_one_way_only() {
        let parse = |flags: &[&str]| {
            let line = ["ballot", "register"].iter().chain(flags);
            Cli::try_parse_from(line)
        };
        let cli = parse(&["--invitation", "invite1secret"]).expect("a command");
        assert!(!format!("{cli:?}").contains("secret"), "{cli:?}");
        assert!(parse(&["--invitation", "-", "--invitation-file", "x"]).is_err());
        assert!(parse(&["--invitation-file", "x"]).is_ok());
    }

    #[test]
    fn timeouts_are_seconds_or_durations() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        assert!(seconds("soon").is_err());
    }
}
