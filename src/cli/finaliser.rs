//! `votenode finaliser`: who finalises from the next set on. One proposes, those who finalise now approve on machines of
//! their own, and somebody puts the approvals together into a transaction.

use std::fmt::Display;
use std::fs;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::archive::Source;
use super::args::FinaliserCommand;
use super::network::finaliser as member;
use super::output::print_either;
use super::{Exit, Failure, key, network};
use crate::chain::checkpoint::{FinaliserSet, MAX_CHANGES};
use crate::chain::genesis::{Finaliser, NetworkId};
use crate::chain::network::Network;
use crate::chain::sign;
use crate::chain::transaction::{FinaliserChange, Payload};
use crate::client::proof::follow_changes;
use crate::crypto::Role;
use crate::export::{ChainReader, ExportError};
use crate::protocol::change_file::{self, ProposedChange, key_code};
use crate::protocol::transaction_file;
use crate::wire::List;

/// Bytes read from a chain at once.
const BUFFER_BYTES: usize = 1 << 20;

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

/// Power with which a set decides: more than two thirds of it.
pub fn quorum(total: u64) -> u64 {
    2 * total / 3 + 1
}

/// Who has a third of the power or more, so that nothing becomes final without it; none where one may fail.
pub fn indispensable(finalisers: &[Finaliser]) -> Vec<&Finaliser> {
    let total: u64 = finalisers.iter().map(|one| one.power).sum();
    finalisers
        .iter()
        .filter(|one| 3 * one.power >= total)
        .collect()
}

/// What it takes to decide, in words.
pub fn describe(finalisers: &[Finaliser]) -> String {
    let total: u64 = finalisers.iter().map(|one| one.power).sum();
    let needed = quorum(total);
    if let [one] = finalisers {
        return format!("{} alone decides, and has to be up", one.name);
    }
    if finalisers.iter().all(|one| one.power == 1) {
        return format!(
            "{} finalisers; {needed} of them must be up and reach each other, and up to {} may fail",
            finalisers.len(),
            total - needed
        );
    }
    format!(
        "{} finalisers with {total} votes; those with {needed} of the votes must be up and reach each other, and up to {} \
         votes may fail",
        finalisers.len(),
        total - needed
    )
}

/// A warning where no finaliser may fail.
pub fn warning(finalisers: &[Finaliser]) -> Option<String> {
    let names: Vec<&str> = indispensable(finalisers)
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "no fault is tolerated: nothing becomes final while one of these is down, since each holds a third of the votes \
             or more: {}. With four finalisers of equal power any one may fail",
            names.join(", ")
        )
    })
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

/// The set that has to approve set `next`: that of the genesis, or the latest of a chain. `None` if nothing tells.
fn present_set(
    network: &Network,
    next: u64,
    chain: Option<&Path>,
) -> Result<Option<FinaliserSet>, Failure> {
    let Some(path) = chain else {
        return Ok((next == 1).then(|| FinaliserSet::genesis(network)));
    };
    let changes = changes_of(path, network)?;
    let latest = follow_changes(network, &changes)
        .map_err(|error| Failure::new(Exit::AuditFailed, format!("{}: {error}", path.display())))?
        .pop();
    match latest {
        Some(set) if set.number() + 1 != next => Err(ChangeFailure::Number {
            latest: set.number(),
            claimed: next,
        }
        .into()),
        latest => Ok(latest),
    }
}

/// The changes of the finalisers that a chain holds, in an exported file or a data directory.
fn changes_of(path: &Path, network: &Network) -> Result<Vec<FinaliserChange>, Failure> {
    let same = |got: NetworkId| match got == network.id() {
        true => Ok(()),
        false => Err(ChangeFailure::OtherNetwork {
            path: path.to_owned(),
            got,
            wanted: network.id(),
        }),
    };
    if !path.is_dir() {
        let file = fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        let reader = ChainReader::new(BufReader::with_capacity(BUFFER_BYTES, file));
        let reader = reader.map_err(|error| unread(path, error))?;
        same(reader.network().id())?;
        return changes_in(path, reader);
    }
    match Source::open(path)? {
        Source::Stored(snapshot) => {
            same(snapshot.network().id())?;
            Ok(snapshot.finaliser_changes(MAX_CHANGES)?)
        }
        Source::Running(mut client) => {
            let stream = BufReader::with_capacity(BUFFER_BYTES, client.export()?);
            let reader = ChainReader::new(stream).map_err(|error| unread(path, error))?;
            same(reader.network().id())?;
            changes_in(path, reader)
        }
    }
}

fn changes_in<R: io::Read>(
    path: &Path,
    reader: ChainReader<R>,
) -> Result<Vec<FinaliserChange>, Failure> {
    let mut changes = Vec::new();
    for block in reader {
        let block = block.map_err(|error| unread(path, error))?.block;
        for transaction in block.transactions.into_vec() {
            if let Payload::FinaliserChange { change } = transaction.payload {
                changes.push(change);
            }
        }
    }
    Ok(changes)
}

fn unread(path: &Path, error: ExportError) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// The power of those in the set who approve.
fn power(set: &FinaliserSet, change: &ProposedChange) -> u64 {
    change
        .approvals
        .iter()
        .filter_map(|approval| set.member(&approval.key))
        .map(|member| member.power)
        .sum()
}

fn approval_text(present: Option<&FinaliserSet>, change: &ProposedChange) -> String {
    match present {
        Some(set) => format!(
            "Approved by {} of {} votes; more than two thirds, {}, are wanted.",
            power(set, change),
            set.total(),
            quorum(set.total())
        ),
        None => format!(
            "{} approvals. The genesis does not hold set {}, so that their power is not known here; name a chain with --chain.",
            change.approvals.len(),
            change.set - 1
        ),
    }
}

/// Who comes, who goes, who stays with how much power.
fn differences(present: Option<&FinaliserSet>, change: &ProposedChange) -> String {
    let mut text = format!("Set {} of finalisers:\n\n", change.set);
    let before = present.map_or(&[][..], FinaliserSet::members);
    for one in change.finalisers.iter() {
        let was = before.iter().find(|member| member.key == one.key);
        let what = match (present, was) {
            (None, _) => "     ".to_owned(),
            (_, None) => "comes".to_owned(),
            (_, Some(was)) if was.power != one.power => format!("stays, had power {}", was.power),
            _ => "stays".to_owned(),
        };
        text += &line(&what, one);
    }
    for one in before {
        if change.finalisers.iter().all(|member| member.key != one.key) {
            text += &line("GOES", one);
        }
    }
    text += &format!("\n{}\n", describe(&change.finalisers));
    if let Some(warning) = warning(&change.finalisers) {
        text += &format!("! {warning}\n");
    }
    text
}

fn line(what: &str, one: &Finaliser) -> String {
    format!(
        "  {what:<6} {}  power {}  {}\n",
        one.name,
        one.power,
        key_code(&one.key)
    )
}

fn to_json(present: Option<&FinaliserSet>, change: &ProposedChange) -> Value {
    let members = |members: &[Finaliser]| -> Vec<Value> {
        let member = |one: &Finaliser| json!({ "name": one.name.as_str(), "key": key_code(&one.key), "power": one.power });
        members.iter().map(member).collect()
    };
    json!({
        "network": change.network,
        "set": change.set,
        "finalisers": members(&change.finalisers),
        "present": present.map(|set| members(set.members())),
        "approvals": change.approvals.iter().map(|approval| key_code(&approval.key)).collect::<Vec<_>>(),
        "approved_power": present.map(|set| power(set, change)),
        "present_power": present.map(FinaliserSet::total),
        "quorum_power": present.map(|set| quorum(set.total())),
        "warning": warning(&change.finalisers),
    })
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} exists already and is not overwritten",
            path.display()
        )),
        _ => Failure::file("write", path, &error),
    };
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
