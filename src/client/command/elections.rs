//! `ballot elections`, `ballot open` and `ballot results`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::chain::election::{ElectionId, Privacy};
use crate::chain::genesis::Organiser;
use crate::chain::network::Network;
use crate::client::closing::FinalBy;
use crate::client::command::args::{Elections, Open, Results};
use crate::client::command::context::Context;
use crate::client::command::failure::Failure;
use crate::client::command::output::{
    Outcome, Table, agreement_json, agreement_text, bar, count, percent, phase_name,
};
use crate::client::command::transact;
use crate::client::election_file::{ElectionFile, MAX_FILE_BYTES, Timing};
use crate::client::exit::Exit;
use crate::client::home::{Sent, read_bytes, write_new_file};
use crate::client::queries::ElectionView;
use crate::client::select;
use crate::client::session::Session;
use crate::client::time::{local_and_relative, now_ms, relative, rfc3339};
use crate::crypto::{Role, RoleKey, secret_file};
use crate::protocol::submit::{ElectionPhase, ElectionResult};
use crate::protocol::transaction_file;

/// The elections of the network, all of them kept for ballots made without it.
pub async fn list(
    context: &Context,
    session: &Session,
) -> Result<crate::client::queries::Answer<Vec<ElectionView>>, Failure> {
    let answer = session.elections().await?;
    for view in &answer.value {
        context.home.keep_election(&view.info.election)?;
    }
    Ok(answer)
}

/// The election that `text` names.
pub async fn find(
    context: &Context,
    session: &Session,
    text: &str,
) -> Result<ElectionView, Failure> {
    let views = list(context, session).await?.value;
    let names = views
        .iter()
        .map(|view| (view.id, view.info.election.terms.title.as_str()));
    let id = select::election(names, text)?;
    views
        .into_iter()
        .find(|view| view.id == id)
        .ok_or_else(|| Failure::failed("the election is gone"))
}

/// `ballot elections`.
pub async fn elections(context: &mut Context, args: Elections) -> Result<Outcome, Failure> {
    let session = context.join().await?;
    let outcome = match args.election {
        None => show_all(context, &session).await,
        Some(text) => {
            let view = find(context, &session, &text).await?;
            if let Some(path) = &args.save {
                let transaction = session
                    .transaction(view.info.transaction)
                    .await?
                    .ok_or_else(|| {
                        Failure::new(Exit::Unknown, "no node gave the election's transaction")
                    })?;
                let text = transaction_file::write(&session.network().id(), &[transaction]);
                write_new_file(path, text.as_bytes())?;
                context.note(format!("written to {}", path.display()));
            }
            Ok(show_one(session.network(), &view))
        }
    };
    session.close().await;
    outcome
}

async fn show_all(context: &mut Context, session: &Session) -> Result<Outcome, Failure> {
    let answer = list(context, session).await?;
    let now = now_ms();
    let mut table = Table::new(["ID", "PHASE", "VOTES", "CLOSES", "TITLE"]);
    for view in &answer.value {
        let terms = &view.info.election.terms;
        let when = match view.phase {
            ElectionPhase::Scheduled => format!("opens {}", relative(terms.opens_at_ms, now)),
            _ => relative(terms.closes_at_ms, now),
        };
        table.row([
            view.id.to_string()[..12].to_owned(),
            phase_name(view.phase).to_owned(),
            view.info.votes.to_string(),
            when,
            terms.title.to_string(),
        ]);
    }
    let mut text = match answer.value.is_empty() {
        true => "there are no elections yet; `ballot open FILE` opens one".to_owned(),
        false => table.render(),
    };
    if !answer.agreement.is_unanimous() {
        text.push_str(&format!("\n{}", agreement_text(&answer.agreement)));
    }
    let json = json!({
        "network": session.network().id(),
        "elections": answer.value.iter().map(election_json).collect::<Vec<_>>(),
        "nodes": agreement_json(&answer.agreement),
    });
    Ok(Outcome::done(text, json))
}

fn show_one(network: &Network, view: &ElectionView) -> Outcome {
    Outcome::done(describe(network, view), election_json(view))
}

/// An election in full, for people.
fn describe(network: &Network, view: &ElectionView) -> String {
    let terms = &view.info.election.terms;
    let now = now_ms();
    let groups: Vec<&str> = terms.groups.iter().map(|group| group.as_str()).collect();
    let mut text = format!(
        "{}\n{}\n\nid        {}\nphase     {}\nopens     {}\ncloses    {}\nroll      closes {}\nmethod    {}, {}\nvoters    {}\n",
        terms.title,
        terms.question,
        view.id,
        phase_name(view.phase),
        local_and_relative(terms.opens_at_ms, now),
        local_and_relative(terms.closes_at_ms, now),
        local_and_relative(terms.roll_closes_at_ms, now),
        method_name(view),
        count(terms.seats, "winner", "winners"),
        groups.join(", "),
    );
    text.push_str(&format!("votes     {} so far\n", view.info.votes));
    for (index, option) in terms.options.iter().enumerate() {
        text.push_str(&format!("\n  {}  {option}", index + 1));
    }
    if let Some(caveat) = Context::open_admission_caveat(network, &terms.groups) {
        text.push_str(&format!("\n\n{caveat}"));
    }
    text
}

fn method_name(view: &ElectionView) -> String {
    let election = &view.info.election;
    election.method().map_or_else(
        || format!("method {}", election.terms.method),
        |method| method.name().to_owned(),
    )
}

/// An election for programs.
pub fn election_json(view: &ElectionView) -> Value {
    let terms = &view.info.election.terms;
    let options: Vec<&str> = terms.options.iter().map(|option| option.as_str()).collect();
    let groups: Vec<&str> = terms.groups.iter().map(|group| group.as_str()).collect();
    json!({
        "id": view.id,
        "title": terms.title.as_str(),
        "question": terms.question.as_str(),
        "options": options,
        "method": method_name(view),
        "seats": terms.seats,
        "opens_at": rfc3339(terms.opens_at_ms),
        "closes_at": rfc3339(terms.closes_at_ms),
        "roll_closes_at": rfc3339(terms.roll_closes_at_ms),
        "groups": groups,
        "privacy": match Privacy::from_number(terms.privacy) {
            Some(Privacy::Pseudonymous) => "pseudonymous",
            Some(Privacy::Anonymous) => "anonymous",
            None => "unknown",
        },
        "organiser": view.info.election.organiser,
        "transaction": view.info.transaction,
        "height": view.info.height,
        "votes": view.info.votes,
        "phase": phase_name(view.phase),
    })
}

/// `ballot open FILE`.
pub async fn open(context: &mut Context, args: Open) -> Result<Outcome, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", args.file.display()));
    let bytes = read_bytes(&args.file, MAX_FILE_BYTES as usize)?
        .ok_or_else(|| wrong(&"there is no such file"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(&"this is too long for an election file"));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"this is not a text file"))?;
    let file = ElectionFile::parse(&text).map_err(|error| wrong(&error))?;
    let key = match &args.organiser_key {
        None => None,
        Some(path) => {
            let text = secret_file::read(path)
                .and_then(|file| {
                    let passphrase = match file.is_sealed() {
                        true => {
                            rpassword::prompt_password("Passphrase of the organiser's key: ").ok()
                        }
                        false => None,
                    };
                    file.open(passphrase.as_deref())
                })
                .map_err(|error| Failure::usage(format!("--organiser-key: {error}")))?;
            let key = RoleKey::parse(Role::Organiser, &text).map_err(|error| {
                Failure::usage(format!("--organiser-key {}: {error}", path.display()))
            })?;
            Some(key.signing_key().clone())
        }
    };
    let session = context.join().await?;
    let network = session.network().clone();
    let key = match key {
        Some(key) => key,
        None if network.elections_by == crate::chain::genesis::Genesis::ANYONE => {
            context.voter()?.signing_key()
        }
        None => {
            return Err(Failure::usage(format!(
                "in this network organisers open elections: give --organiser-key ({} in the genesis)",
                count(
                    network
                        .organisers
                        .iter()
                        .filter(|one| one.permissions & Organiser::OPEN_ELECTIONS != 0)
                        .count() as u64,
                    "key",
                    "keys"
                )
            )));
        }
    };
    let timing = Timing {
        opens_in: args.opens_in,
        closes_in: args.closes_in,
    };
    let terms = file
        .terms(&network, timing, now_ms())
        .map_err(|error| wrong(&error))?;
    let (title, opens, closes) = (
        terms.title.to_string(),
        terms.opens_at_ms,
        terms.closes_at_ms,
    );
    let (id, transaction) = session
        .make_election(&key, terms)
        .map_err(|error| Failure::new(Exit::Rejected, error))?;
    context.home.keep_sent(&Sent {
        network: network.id(),
        at_ms: now_ms(),
        transaction: transaction.clone(),
    })?;
    let mut outcome = transact::hand_in(
        context,
        &session,
        transaction,
        &format!("election \"{title}\""),
    )
    .await?;
    session.close().await;
    let now = now_ms();
    outcome.text.push_str(&format!(
        "\nid: {id}\nopens: {}\ncloses: {}",
        local_and_relative(opens, now),
        local_and_relative(closes, now)
    ));
    outcome.json.insert("election".into(), json!(id));
    outcome
        .json
        .insert("opens_at".into(), json!(rfc3339(opens)));
    outcome
        .json
        .insert("closes_at".into(), json!(rfc3339(closes)));
    Ok(outcome)
}

/// `ballot results ELECTION`.
pub async fn results(context: &mut Context, args: Results) -> Result<Outcome, Failure> {
    let session = context.join().await?;
    let view = find(context, &session, &args.election).await?;
    let answer = session.result(view.id).await?;
    let network = Arc::clone(session.network());
    let Some(result) = answer.value else {
        return Err(Failure::new(
            Exit::Unknown,
            format!("no node gave a result of election {}", view.id),
        ));
    };
    let phase = ElectionPhase::from_number(result.phase).unwrap_or(view.phase);
    if result.tally.totals.len() > view.info.election.terms.options.len() {
        return Err(Failure::new(
            Exit::Unverified,
            "the result has more totals than the election has options",
        ));
    }
    let is_final = phase == ElectionPhase::Final;
    let proved = match is_final && network.finalises() {
        true => session.prove_final(&view, &result).await,
        false => Ok(None),
    };
    session.close().await;
    let proved = proved.map_err(|error| {
        Failure::new(
            Exit::Unverified,
            format!("the nodes call the result final, and that does not hold: {error}"),
        )
    })?;
    if is_final && !network.finalises() {
        return Err(Failure::new(
            Exit::Unverified,
            "the nodes call the result final, and nobody finalises in this network",
        ));
    }
    let caveats = caveats(&network, &view, phase);
    let mut text = result_text(&view, &result, phase);
    if is_final {
        text.push_str(&format!("\n{}", final_text(&result, proved)));
    }
    for caveat in &caveats {
        text.push_str(&format!("\n! {caveat}"));
    }
    text.push_str(&format!("\n{}", agreement_text(&answer.agreement)));
    let mut json = result_json(&view, &result, phase);
    if json["checkpoint"].is_object() {
        json["checkpoint"]["number"] = json!(proved.map(|by| by.checkpoint));
        json["checkpoint"]["finaliser_set"] = json!(proved.map(|by| by.set));
        json["checkpoint"]["checked"] = json!(proved.is_some());
    }
    json["caveats"] = json!(caveats);
    json["nodes"] = agreement_json(&answer.agreement);
    Ok(Outcome::done(text, json))
}

/// What makes a result final, and whose word that is.
fn final_text(result: &ElectionResult, proved: Option<FinalBy>) -> String {
    let height = result.checkpoint.first().map_or(0, |block| block.height);
    match proved {
        Some(by) => format!(
            "final by checkpoint {} at height {height}, decided by set {} of finalisers: checked, the closing block cannot \
             be replaced\nthe count is the nodes' word; `votenode audit` of an exported chain counts again",
            by.checkpoint, by.set
        ),
        None => format!(
            "final by a checkpoint at height {height}, by the nodes' word alone: none could show it to be so; `votenode \
             audit` of an exported chain checks it"
        ),
    }
}

fn caveats(network: &Network, view: &ElectionView, phase: ElectionPhase) -> Vec<String> {
    let mut caveats: Vec<String> = Vec::new();
    match phase {
        ElectionPhase::Scheduled => caveats.push("polls are not open yet".into()),
        ElectionPhase::Open => caveats.push("polls are open: this is a count so far".into()),
        ElectionPhase::Closing => {
            caveats.push("polls are closed; late blocks may still bring votes".into());
        }
        ElectionPhase::Provisional if network.finalises() => {
            caveats.push(
                "provisional: the closing block is not final yet, and could still be replaced"
                    .into(),
            );
        }
        ElectionPhase::Provisional | ElectionPhase::Final => {}
    }
    let general = Context::caveats(network).into_iter();
    let admission = Context::open_admission_caveat(network, &view.info.election.terms.groups);
    caveats.extend(general.chain(admission).map(str::to_owned));
    caveats
}

fn result_text(view: &ElectionView, result: &ElectionResult, phase: ElectionPhase) -> String {
    let terms = &view.info.election.terms;
    let tally = &result.tally;
    let most = tally.totals.iter().copied().max().unwrap_or(0);
    let mut order: Vec<usize> = (0..tally.totals.len()).collect();
    let place = |index: &usize| {
        let won = tally.winners.iter().position(|w| usize::from(*w) == *index);
        (
            won.unwrap_or(usize::MAX),
            std::cmp::Reverse(tally.totals[*index]),
            *index,
        )
    };
    order.sort_by_key(place);
    let settled = matches!(phase, ElectionPhase::Provisional | ElectionPhase::Final);
    let mut table = Table::default();
    for index in order {
        let total = tally.totals[index];
        let won = tally.winners.iter().any(|w| usize::from(*w) == index);
        table.row([
            match (won, settled) {
                (true, true) => "✔".to_owned(),
                (true, false) => "·".to_owned(),
                (false, _) => String::new(),
            },
            terms
                .options
                .get(index)
                .map_or_else(String::new, |option| option.to_string()),
            total.to_string(),
            percent(total, tally.votes),
            bar(total, most),
        ]);
    }
    let mut text = format!(
        "{} – {}\n{}\n\n{}\n\n{} of {} registered, {} blank",
        terms.title,
        phase_name(phase),
        terms.question,
        table.render(),
        count(tally.votes, "vote", "votes"),
        result.eligible,
        tally.blank,
    );
    if tally.spoiled > 0 {
        text.push_str(&format!(", {} spoiled", tally.spoiled));
    }
    if settled && tally.by_lot() {
        text.push_str("\na tie, decided by lot, which anyone can draw again");
    }
    text.push_str(&format!("\nelection {}", view.id));
    match result.closing_block.first() {
        Some(block) => text.push_str(&format!(
            "\nclosing block {} at height {}",
            block.id, block.height
        )),
        None => text.push_str(&format!(
            "\ncloses {}",
            local_and_relative(terms.closes_at_ms, now_ms())
        )),
    }
    text
}

fn result_json(view: &ElectionView, result: &ElectionResult, phase: ElectionPhase) -> Value {
    let terms = &view.info.election.terms;
    let tally = &result.tally;
    let totals: Vec<Value> = terms
        .options
        .iter()
        .zip(tally.totals.iter())
        .map(|(option, total)| json!({ "option": option.as_str(), "total": total }))
        .collect();
    let winners: Vec<&str> = tally
        .winners
        .iter()
        .filter_map(|winner| terms.options.get(usize::from(*winner)))
        .map(|option| option.as_str())
        .collect();
    let at = |block: &crate::protocol::submit::BlockAt| json!({ "id": block.id, "height": block.height });
    json!({
        "election": view.id,
        "title": terms.title.as_str(),
        "phase": phase_name(phase),
        "votes": tally.votes,
        "blank": tally.blank,
        "spoiled": tally.spoiled,
        "eligible": result.eligible,
        "totals": totals,
        "winners": winners,
        "by_lot": tally.by_lot(),
        "closing_block": result.closing_block.first().map(at),
        "checkpoint": result.checkpoint.first().map(at),
    })
}

/// The id of an election, shortened for notes.
pub fn short(id: &ElectionId) -> String {
    id.to_string()[..12].to_owned()
}
