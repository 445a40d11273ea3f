//! The command line of `votenode`: what can be said, with help. What it does is elsewhere.

mod finaliser;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::exit;
use crate::config::Layer;
use crate::crypto::Role;
use crate::demo::{DemoArguments, VotersArguments};
pub use finaliser::FinaliserCommand;

/// An election with no server: a node of the network.
///
/// Without a command it runs a node until Ctrl-C. Without any flag the node joins or founds the trial network of the
/// local network: two machines that both run plain `votenode` are one network. For an election that counts make a
/// network of your own with `votenode network new`.
#[derive(Debug, Parser)]
#[command(
    name = "votenode",
    version,
    args_conflicts_with_subcommands = false,
    after_help = format!("{RUN_EXAMPLES}\n\n{}\n\n{SETTINGS}", exit::HELP)
)]
pub struct Arguments {
    /// Settings of the node.
    #[command(flatten)]
    pub settings: Layer,
    /// Read settings from this file [default: $XDG_CONFIG_HOME/votenode/votenode.toml or ~/.config/…, if it is there]
    #[arg(long, env = "VOTENODE_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// What to do instead of running a node.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const RUN_EXAMPLES: &str = "\
Examples:
  votenode                              run a node of the trial network
  votenode --network club.toml          run a node of your own network
  votenode --bootstrap /dns/vote.example.org/tcp/7117    join through a node
  votenode --network club.toml --http off --no-mine      no HTTP, no mining
  votenode --network club.toml --finaliser-key ada.finaliser
                                        help to decide what is final
  votenode --data-dir /srv/votenode \\
    --external-address /ip4/203.0.113.5/tcp/7117";

const SETTINGS: &str = "\
Every flag of a node is also a variable (--http-host: VOTENODE_HTTP_HOST, lists separated by commas) and a key of
the configuration file (http_host). A flag goes before the variable, the variable before the file.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a whole election on this machine: nodes, voters, a node that is killed and comes back, an audit
    #[command(after_help = "\
Examples:
  votenode demo
  votenode demo --voters 5000 --nodes 7
  votenode demo --json | tail -1
  votenode demo --finalisers 4                with final results
  votenode demo --keep                        leave data, logs and the chain

Everything runs on loopback and ends with the demo. It ends with code 0 if all that it claims was seen.")]
    Demo(DemoArguments),
    /// Voters of a demo
    #[command(hide = true, after_help = "Example: started by votenode demo")]
    DemoVoters(VotersArguments),
    /// Make or show a network's genesis file
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Make or show keys of organisers, finalisers and trustees
    #[command(subcommand)]
    Key(KeyCommand),
    /// Change who decides checkpoints: propose, approve, put together
    #[command(subcommand)]
    Finaliser(FinaliserCommand),
    /// Make invitations to register, with slips to print, or take unused ones back
    Invite(InviteArguments),
    /// Write the chain into a file that anybody can audit
    #[command(after_help = "\
Examples:
  votenode export election.votechain
  votenode export --data-dir /srv/votenode election.votechain

Works while a node runs on the data directory.")]
    Export(ExportArguments),
    /// Read an exported chain into the data directory, checking everything
    #[command(after_help = "\
Examples:
  votenode import election.votechain
  votenode import --data-dir /srv/new-node election.votechain

The node must not run. Blocks that are there already are passed over, so an import that was interrupted can be
repeated.")]
    Import(ImportArguments),
    /// Check a chain from its genesis on and show what it amounts to
    #[command(after_help = "\
Examples:
  votenode audit election.votechain
  votenode audit ~/.local/share/votenode --json
  votenode audit election.votechain --network club.toml   insist on the network

Ends with code 8 if anything is wrong. Works while a node runs on the directory.")]
    Audit(AuditArguments),
    /// Show what the running node does
    #[command(after_help = "\
Examples:
  votenode status
  votenode status --json --data-dir /srv/votenode")]
    Status(JsonArgument),
    /// List the peers of the running node
    #[command(after_help = "\
Examples:
  votenode peers
  votenode peers --json")]
    Peers(JsonArgument),
    /// Disconnect a peer from the running node and keep it away
    #[command(after_help = "\
Examples:
  votenode ban 12D3KooWErNq9W4tg5m7DkdEsuv2mPgYBpzNMRyAiFpMHE9qsoAS
  votenode ban --lift 12D3KooWErNq9W4tg5m7DkdEsuv2mPgYBpzNMRyAiFpMHE9qsoAS")]
    Ban(BanArguments),
    /// Let the running node follow the chain with the most work although it saw an election close otherwise
    #[command(after_help = "\
Example:
  votenode release-pin

`votenode status` shows a competing chain if there is one. Look at both results before you let go of one.")]
    ReleasePin(JsonArgument),
    /// End the running node
    #[command(after_help = "\
Example:
  votenode stop --data-dir /srv/votenode")]
    Stop,
}

/// `--json` alone.
#[derive(Debug, Args)]
pub struct JsonArgument {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `votenode network …`
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Write the genesis file of a new network
    #[command(after_help = "\
Examples:
  votenode key new organiser --out ada.key     prints organiserpub1…
  votenode network new --name \"Rowing Club\" --organiser Ada=organiserpub1… \\
    --open-admission off --out club.toml
  votenode network new --name Union --organiser Ada=organiserpub1… \\
    --finaliser Ada=finaliserpub1… --finaliser Ben=finaliserpub1… \\
    --finaliser Cleo=finaliserpub1… --finaliser Dora=finaliserpub1… \\
    --out union.toml
  votenode network new --name Party --out party.toml     for everybody

Hand the file to everybody who runs a node or votes: it holds no secret. Its id names the network.")]
    New(Box<NetworkNewArguments>),
    /// Check a genesis file and show it
    #[command(after_help = "\
Examples:
  votenode network show club.toml
  votenode network show club.toml --json")]
    Show {
        /// The genesis file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `votenode network new`
#[derive(Debug, Args)]
pub struct NetworkNewArguments {
    /// Name of the network, for people
    #[arg(long)]
    pub name: String,
    /// Where to write the genesis file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A key that may invite voters and open elections: a name and organiserpub1…; may be given several times. Append
    /// ':invite' or ':open_elections' to permit only that
    #[arg(long, value_name = "NAME=KEY[:MAY]")]
    pub organiser: Vec<String>,
    /// A key that takes part in deciding which blocks are final: a name, finaliserpub1…, and ':POWER' unless its voting
    /// power is 1; given several times, four at least if any one is to be allowed to fail
    #[arg(long, value_name = "NAME=KEY[:POWER]")]
    pub finaliser: Vec<String>,
    /// Leading zero bits of the stamp that registers without an invitation, or 'off' [default: off with organisers, 16
    /// without]
    #[arg(long, value_name = "BITS|off")]
    pub open_admission: Option<String>,
    /// Who may open elections [default: organisers if there are any, else anyone]
    #[arg(long, value_name = "WHO", value_parser = ["anyone", "organisers"])]
    pub elections_by: Option<String>,
    /// Least time between two blocks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    pub block_time_ms: u64,
    /// How long after the close of polls blocks may still bring its votes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub close_grace_ms: u64,
    /// Blocks on top that count as settled where nobody finalises
    #[arg(long, value_name = "BLOCKS", default_value_t = 3)]
    pub confirmations: u64,
    /// Leading zero bits of the stamp on an anonymous vote
    #[arg(long, value_name = "BITS", default_value_t = 16)]
    pub vote_stamp_bits: u8,
    /// Longest block, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2 * 1024 * 1024)]
    pub max_block_bytes: u64,
    /// Most transactions in a block
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    pub max_block_transactions: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `votenode key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a secret key and show its public half
    #[command(after_help = "\
Examples:
  votenode key new organiser --out ada.key
  votenode key new finaliser --out node1.key --passphrase

The file holds a secret (mode 0600). What is printed is public and goes into a genesis or an election.")]
    New {
        /// What the key is for: organiser, finaliser or trustee
        #[arg(value_parser = parse_role)]
        role: Role,
        /// Where to write the secret
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Ask for a passphrase to keep it under
        #[arg(long)]
        passphrase: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the public half of a key
    #[command(after_help = "\
Example:
  votenode key show ada.key")]
    Show {
        /// The secret's file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    [Role::Organiser, Role::Finaliser, Role::Trustee]
        .into_iter()
        .find(|role| role.to_string() == text)
        .ok_or_else(|| "a key is for an organiser, a finaliser or a trustee".to_owned())
}

/// `votenode invite …`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  votenode invite --count 120 --group members --network club.toml \\
    --organiser-key ada.key --out invitations
  votenode invite --count 20 --group board --network club.toml \\
    --organiser-key ada.key --out board --submit
  votenode invite revoke --network club.toml --organiser-key ada.key \\
    --codes invitations/codes.txt --out revoke.txt

Writes into the directory --out: codes.txt (secret), slips-….html (secret, to print and cut), transactions.txt
(public; without --submit hand it in with `ballot submit transactions.txt`). Invitations work once that is in the
chain. Making them needs no network: it can be done on a machine that is never online."
)]
pub struct InviteArguments {
    /// Something other than making invitations.
    #[command(subcommand)]
    pub command: Option<InviteCommand>,
    /// How many, up to 10000
    #[arg(long, value_name = "N", required = true)]
    pub count: Option<u32>,
    /// The group that those who use them will belong to
    #[arg(long, value_name = "GROUP", required = true)]
    pub group: Option<String>,
    /// Directory to make for the files
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Whose signature and which network.
    #[command(flatten)]
    pub signer: Option<SignerArguments>,
    /// Hand the transactions to the node that runs on the data directory
    #[arg(long)]
    pub submit: bool,
    /// Ask for a passphrase to keep the codes under
    #[arg(long)]
    pub passphrase: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Whose signature and which network.
#[derive(Debug, Args)]
pub struct SignerArguments {
    /// Secret key of an organiser who may invite
    #[arg(long, value_name = "FILE", required = true)]
    pub organiser_key: PathBuf,
    /// Genesis file of the network
    #[arg(
        long = "network",
        value_name = "FILE",
        required = true,
        id = "genesis_file"
    )]
    pub genesis: PathBuf,
}

/// `votenode invite revoke`
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Take back invitations that nobody used
    #[command(after_help = "\
Example:
  votenode invite revoke --network club.toml --organiser-key ada.key \\
    --codes invitations/codes.txt --out revoke.txt

Copy the codes that were lost into a file of their own (mode 0600, one a line under the header of codes.txt) to take
back only those.")]
    Revoke {
        /// File with the codes of the invitations, as `votenode invite` wrote it; may be given several times
        #[arg(long, value_name = "FILE", required = true)]
        codes: Vec<PathBuf>,
        /// Whose signature and which network.
        #[command(flatten)]
        signer: SignerArguments,
        /// Where to write the transactions
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Hand the transactions to the node that runs on the data directory
        #[arg(long)]
        submit: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `votenode export`
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The file to write; one that exists is not overwritten
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `votenode import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The exported chain
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `votenode audit`
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// An exported chain, or the data directory of a node
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// Genesis file or id that the chain has to begin with
    #[arg(long = "network", value_name = "FILE|ID", id = "audited_network")]
    pub network: Option<crate::config::Network>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `votenode ban`
#[derive(Debug, Args)]
pub struct BanArguments {
    /// The peer id, as `votenode peers` shows it
    pub peer: String,
    /// Lift the ban instead
    #[arg(long)]
    pub lift: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn walk(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string);
                assert!(
                    help.is_some_and(|help| help.contains("Example")),
                    "{} has no examples",
                    command.get_name()
                );
            }
            // A terminal of 80 columns must not break what is to be copied.
            let help = command.get_after_help().map(ToString::to_string);
            for line in help.unwrap_or_default().lines() {
                let example = line.trim_start().starts_with("votenode");
                let columns = unicode_width::UnicodeWidthStr::width(line);
                assert!(!example || columns <= 80, "{columns} columns: {line}");
            }
            for sub in command.get_subcommands() {
                walk(sub);
            }
        }
        walk(&Arguments::command());
    }

    #[test]
    fn the_peer_of_the_examples_could_be_one() {
        let command = Arguments::command();
        let ban = command.find_subcommand("ban").unwrap();
        let help = ban.get_after_help().unwrap().to_string();
        let mut peers = help.split_whitespace().filter(|w| w.starts_with("12D3"));
        assert!(peers.all(|peer| peer.parse::<votenode_p2p::PeerId>().is_ok()));
    }

    #[test]
    fn the_data_directory_may_stand_on_either_side_of_the_command() {
        for line in [
            ["votenode", "--data-dir", "/x", "status"],
            ["votenode", "status", "--data-dir", "/x"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.settings.data_dir, Some("/x".into()));
        }
    }

    #[test]
    fn invite_wants_its_flags_and_revoke_its_own() {
        assert!(Arguments::try_parse_from(["votenode", "invite", "--count", "3"]).is_err());
        let made = Arguments::try_parse_from([
            "votenode",
            "invite",
            "--count",
            "3",
            "--group",
            "g",
            "--out",
            "d",
            "--organiser-key",
            "k",
            "--network",
            "n",
        ]);
        assert!(made.is_ok(), "{}", made.unwrap_err());
        let revoked = Arguments::try_parse_from([
            "votenode",
            "invite",
            "revoke",
            "--codes",
            "c",
            "--out",
            "d",
            "--organiser-key",
            "k",
            "--network",
            "n",
        ]);
        assert!(revoked.is_ok(), "{}", revoked.unwrap_err());
    }
}
