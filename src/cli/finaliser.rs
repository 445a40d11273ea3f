//! `votenode finaliser`: who finalises from the next set on. One proposes, those who finalise now approve on machines of
//! their own, and somebody puts the approvals together into a transaction.

mod present;
mod words;

use std::fmt::Display;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::FinaliserCommand;
use super::network::finaliser as member;
use super::output::print_either;
use super::{Exit, Failure, key, network};
use crate::chain::checkpoint::FinaliserSet;
use crate::chain::genesis::NetworkId;
use crate::chain::network::Network;
use crate::chain::sign;
use crate::crypto::Role;
use crate::protocol::change_file::{self, ProposedChange, key_code};
use crate::protocol::transaction_file;
use crate::wire::List;
use present::present_set;
use words::{approval_text, differences, power, to_json};
pub use words::{describe, quorum, warning};

/// Why a change cannot be proposed, approved or finished.
#[derive(Debug, thiserror::Error)]
enum ChangeFailure {
    #[error("{} is for network {got}, and the genesis is of network {wanted}", .path.display())]
    OtherNetwork {
        path: PathBuf,
        got: NetworkId,
        wanted: NetworkId,
    },
    #[error(
        "nobody finalises in this network, and that cannot change: only present finalisers name others"
    )]
    NobodyFinalises,
    #[error(
        "the latest set of finalisers is set {latest}, so that the next is set {}; the change is for set {claimed}",
        .latest + 1
    )]
    Number { latest: u64, claimed: u64 },
    #[error("this key is not in set {set} of finalisers, which has to approve")]
    Stranger { set: u64 },
    #[error("this key has approved already")]
    Twice,
    #[error("{}: an approval is not signed for this change: {key}", .path.display())]
    Unsigned { path: PathBuf, key: String },
    #[error("{} and {} are about different changes: compare their sets line by line", .first.display(), .other.display())]
    Different { first: PathBuf, other: PathBuf },
    #[error("nobody has approved yet")]
    Unapproved,
    #[error(
        "approved by {power} of {total} votes, and more than two thirds, {wanted}, are wanted; let others run votenode finaliser \
         approve"
    )]
    Power { power: u64, total: u64, wanted: u64 },
}

impl From<ChangeFailure> for Failure {
    fn from(error: ChangeFailure) -> Self {
        let exit = match &error {
            ChangeFailure::OtherNetwork { .. } => Exit::WrongNetwork,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

/// Runs `votenode finaliser`.
pub fn run(command: FinaliserCommand) -> Result<(), Failure> {
    match command {
        FinaliserCommand::Propose {
            genesis,
            set,
            finaliser,
            out,
            json,
        } => propose(&genesis, set, &finaliser, &out, json),
        FinaliserCommand::Approve {
            file,
            genesis,
            finaliser_key,
            chain,
            json,
        } => approve(&file, &genesis, &finaliser_key, chain.as_deref(), json),
        FinaliserCommand::Finish {
            files,
            genesis,
            chain,
            out,
            json,
        } => finish(&files, &genesis, chain.as_deref(), &out, json),
    }
}

fn propose(
    genesis: &Path,
    set: u64,
    finalisers: &[String],
    out: &Path,
    json: bool,
) -> Result<(), Failure> {
    let network = finalising(genesis)?;
    let finalisers = finalisers
        .iter()
        .map(|text| member(text))
        .collect::<Result<Vec<_>, _>>()?;
    let change = ProposedChange::new(network.id(), set, finalisers).map_err(Failure::usage)?;
    write_new(out, &change.write())?;
    let present = (set == 1).then(|| FinaliserSet::genesis(&network));
    let mut text = differences(present.as_ref(), &change);
    text += &format!(
        "\nWrote {}. Nobody has approved it yet. Each present finaliser approves a copy:\n  votenode finaliser approve {} \
         --network {} --finaliser-key KEY\n",
        out.display(),
        out.display(),
        genesis.display()
    );
    let mut value = to_json(present.as_ref(), &change);
    value["file"] = json!(out);
    print_either(json, &value, &text)
}

fn approve(
    file: &Path,
    genesis: &Path,
    key_file: &Path,
    chain: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let network = finalising(genesis)?;
    let mut change = read_change(file, &network)?;
    let present = present_set(&network, change.set, chain)?;
    let secret = key::read_key(key_file, Role::Finaliser)?;
    let public = secret.signing_key().public_key();
    if let Some(set) = &present
        && set.member(&public).is_none()
    {
        return Err(ChangeFailure::Stranger { set: set.number() }.into());
    }
    if change.has_approved(&public) {
        return Err(ChangeFailure::Twice.into());
    }
    change.approvals.push(sign::approve_change(
        &network.id(),
        secret.signing_key(),
        change.set,
        &change.finalisers,
    ));
    replace(file, &change.write())?;
    let text = format!(
        "{}\nApproved as {}, in {}. {}\n",
        differences(present.as_ref(), &change),
        key_code(&public),
        file.display(),
        approval_text(present.as_ref(), &change)
    );
    let mut value = to_json(present.as_ref(), &change);
    value["file"] = json!(file);
    print_either(json, &value, &text)
}

fn finish(
    files: &[PathBuf],
    genesis: &Path,
    chain: Option<&Path>,
    out: &Path,
    json: bool,
) -> Result<(), Failure> {
    let network = finalising(genesis)?;
    let mut merged: Option<(&Path, ProposedChange)> = None;
    for path in files {
        let change = read_change(path, &network)?;
        let Some((first, all)) = &mut merged else {
            merged = Some((path, change));
            continue;
        };
        if !all.is_same(&change) {
            return Err(ChangeFailure::Different {
                first: first.to_path_buf(),
                other: path.clone(),
            }
            .into());
        }
        for approval in change.approvals {
            if !all.has_approved(&approval.key) {
                all.approvals.push(approval);
            }
        }
    }
    let (_, mut change) = merged.ok_or_else(|| Failure::usage("name a file"))?;
    let present = present_set(&network, change.set, chain)?;
    let mut strangers = 0;
    if let Some(set) = &present {
        let before = change.approvals.len();
        change
            .approvals
            .retain(|approval| set.member(&approval.key).is_some());
        strangers = before - change.approvals.len();
        let power = power(set, &change);
        if !set.is_quorum(power) {
            return Err(ChangeFailure::Power {
                power,
                total: set.total(),
                wanted: quorum(set.total()),
            }
            .into());
        }
    }
    let approvals = List::new(change.approvals.clone()).map_err(|_| ChangeFailure::Unapproved)?;
    let transaction = sign::change_finalisers(
        &network.id(),
        change.set,
        change.finalisers.clone(),
        approvals,
    )
    .map_err(Failure::usage)?;
    let id = transaction.id();
    write_new(out, &transaction_file::write(&network.id(), &[transaction]))?;
    let mut text = differences(present.as_ref(), &change);
    text += &format!("\n{}\n", approval_text(present.as_ref(), &change));
    if strangers > 0 {
        text += &format!(
            "{strangers} approvals by keys that are not in the present set were left out.\n"
        );
    }
    text += &format!(
        "Wrote {}. Hand it in; the new set decides from the first checkpoint after the one that makes it final:\n  ballot \
         --network {} submit {}\n",
        out.display(),
        genesis.display(),
        out.display()
    );
    let mut value = to_json(present.as_ref(), &change);
    value["file"] = json!(out);
    value["transaction"] = json!(id);
    print_either(json, &value, &text)
}

fn finalising(genesis: &Path) -> Result<Network, Failure> {
    let network = Network::new(network::read(genesis)?).map_err(Failure::usage)?;
    if network.finalises() {
        Ok(network)
    } else {
        Err(ChangeFailure::NobodyFinalises.into())
    }
}

fn read_change(path: &Path, network: &Network) -> Result<ProposedChange, Failure> {
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let wrong = |error: &dyn Display| Failure::usage(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(failed)?
        .take(change_file::MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"this is not a text file"))?;
    let change = ProposedChange::parse(&text).map_err(|error| wrong(&error))?;
    if change.network != network.id() {
        return Err(ChangeFailure::OtherNetwork {
            path: path.to_owned(),
            got: change.network,
            wanted: network.id(),
        }
        .into());
    }
    let unsigned = change
        .approvals
        .iter()
        .find(|approval| !change.is_signed(approval));
    match unsigned {
        None => Ok(change),
        Some(approval) => Err(ChangeFailure::Unsigned {
            path: path.to_owned(),
            key: key_code(&approval.key),
        }
        .into()),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file("write", path, &error);
    let mut file = fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Puts a file in the place of another, so that a crash leaves one of them whole.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests;
