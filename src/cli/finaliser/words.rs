//! What a set of finalisers and a change of it amount to, for people and for programs.

use serde_json::{Value, json};

use crate::chain::checkpoint::FinaliserSet;
use crate::chain::genesis::Finaliser;
use crate::protocol::change_file::{ProposedChange, key_code};

/// Power with which a set decides: more than two thirds of it.
pub fn quorum(total: u64) -> u64 {
    2 * total / 3 + 1
}

/// Who has a third of the power or more, so that nothing becomes final without it; none where one may fail.
pub(super) fn indispensable(finalisers: &[Finaliser]) -> Vec<&Finaliser> {
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

/// The power of those in the set who approve.
pub(super) fn power(set: &FinaliserSet, change: &ProposedChange) -> u64 {
    change
        .approvals
        .iter()
        .filter_map(|approval| set.member(&approval.key))
        .map(|member| member.power)
        .sum()
}

pub(super) fn approval_text(present: Option<&FinaliserSet>, change: &ProposedChange) -> String {
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
pub(super) fn differences(present: Option<&FinaliserSet>, change: &ProposedChange) -> String {
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

pub(super) fn to_json(present: Option<&FinaliserSet>, change: &ProposedChange) -> Value {
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
