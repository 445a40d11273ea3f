//! `votenode finaliser …` as it can be said.

use std::path::PathBuf;

use clap::Subcommand;

/// `votenode finaliser …`
#[derive(Debug, Subcommand)]
pub enum FinaliserCommand {
    /// Write a proposal of who finalises from the next set on
    #[command(after_help = "\
Example:
  votenode finaliser propose --network club.toml --set 1 \\
    --finaliser Ada=finaliserpub1… --finaliser Ben=finaliserpub1… \\
    --finaliser Cleo=finaliserpub1… --finaliser Eve=finaliserpub1… --out change.txt

Name everybody who is to finalise, those who stay too. The genesis holds set 0, so that the first change makes set 1.
The file holds no secret and no signature yet: send a copy to each present finaliser.")]
    Propose {
        /// Genesis file of the network
        #[arg(long = "network", value_name = "FILE", id = "proposal_genesis")]
        genesis: PathBuf,
        /// Number of the set that is made, one more than the present one's
        #[arg(long, value_name = "N")]
        set: u64,
        /// A finaliser of the new set: a name, finaliserpub1…, and ':POWER' unless that is 1; given several times
        #[arg(long, value_name = "NAME=KEY[:POWER]", required = true)]
        finaliser: Vec<String>,
        /// Where to write the proposal; one that exists is not overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who would come and go, and approve it as a present finaliser
    #[command(after_help = "\
Examples:
  votenode finaliser approve change.txt --network club.toml \\
    --finaliser-key ada.finaliser
  votenode finaliser approve change.txt --network club.toml \\
    --finaliser-key ada.finaliser --chain ~/.local/share/votenode

The approval is added to the file. It needs no network, and does not touch what the finaliser's node keeps beside the
key. From set 2 on the genesis does not tell who finalises now: --chain names an exported chain or a data directory.")]
    Approve {
        /// The proposal
        file: PathBuf,
        /// Genesis file of the network
        #[arg(long = "network", value_name = "FILE", id = "approval_genesis")]
        genesis: PathBuf,
        /// Secret key of a present finaliser
        #[arg(long = "finaliser-key", value_name = "FILE", id = "approving_key")]
        finaliser_key: PathBuf,
        /// Exported chain, or data directory of a node, that tells who finalises now
        #[arg(long, value_name = "FILE|DIR")]
        chain: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put approvals together and write the transaction that makes the change
    #[command(after_help = "\
Example:
  votenode finaliser finish ada.txt ben.txt cleo.txt --network club.toml \\
    --out transactions.txt
  ballot --network club.toml submit transactions.txt

Approvals of more than two thirds of the present voting power are wanted. The new set decides from the first checkpoint
after the one that makes the change final. Until then those who go must keep their nodes running, and afterwards their
keys should be destroyed.")]
    Finish {
        /// Copies of the same proposal
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Genesis file of the network
        #[arg(long = "network", value_name = "FILE", id = "finish_genesis")]
        genesis: PathBuf,
        /// Exported chain, or data directory of a node, that tells who finalises now
        #[arg(long, value_name = "FILE|DIR")]
        chain: Option<PathBuf>,
        /// Where to write the transaction; a file that exists is not overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
