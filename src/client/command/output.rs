//! What a command prints: words for people, one object for programs.

use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use crate::client::exchange::{reason_name, words};
use crate::client::exit::Exit;
use crate::client::submission::{Agreement, Fate, Submitted};
use crate::client::time::rfc3339;
use crate::protocol::submit::{ElectionPhase, Reason};

/// Widest bar of a result, in characters.
const BAR_WIDTH: usize = 32;

/// How a command ended and what it says.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For the shell.
    pub exit: Exit,
    /// For people, without a line end.
    pub text: String,
    /// For programs.
    pub json: Map<String, Value>,
}

impl Outcome {
    /// The command is done.
    pub fn done(text: impl Into<String>, json: Value) -> Self {
        Self::new(Exit::Done, text, json)
    }

    /// The command ended so.
    pub fn new(exit: Exit, text: impl Into<String>, json: Value) -> Self {
        let json = match json {
            Value::Object(map) => map,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self {
            exit,
            text: text.into(),
            json,
        }
    }
}

/// Lines with columns: every column as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table under these headings.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut table = Self::default();
        table.row(headings.map(str::to_owned));
        table
    }

    /// Adds a line.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines, two spaces between columns, without a line end.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let cells = row
                    .iter()
                    .zip(&widths)
                    .map(|(cell, width)| pad(cell, *width));
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect();
        lines.join("\n")
    }
}

fn pad(text: &str, width: usize) -> String {
    let fill = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(fill))
}

/// A bar for `value` out of `most`.
pub fn bar(value: u64, most: u64) -> String {
    let length = match most {
        0 => 0,
        most => (u128::from(value) * BAR_WIDTH as u128 / u128::from(most)) as usize,
    };
    // Who got anything is seen to have got something.
    let length = if value > 0 { length.max(1) } else { 0 };
    "█".repeat(length.min(BAR_WIDTH))
}

/// A share in percent, rounded to one decimal.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let permille = (u128::from(part) * 1_000 + u128::from(whole / 2)) / u128::from(whole);
    format!("{}.{} %", permille / 10, permille % 10)
}

/// The name of a phase in tables.
pub fn phase_name(phase: ElectionPhase) -> &'static str {
    match phase {
        ElectionPhase::Scheduled => "scheduled",
        ElectionPhase::Open => "open",
        ElectionPhase::Closing => "closing",
        ElectionPhase::Provisional => "provisional",
        ElectionPhase::Final => "final",
    }
}

/// A number with its noun: `1 vote`, `2 votes`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How many nodes agree, in words; lines for those that do not.
pub fn agreement_text(agreement: &Agreement) -> String {
    if agreement.asked == 0 {
        return String::new();
    }
    let mut text = match (agreement.agree, agreement.asked) {
        (1, 1) => "one node was asked".to_owned(),
        (agree, asked) if agree == asked => format!("all {asked} nodes that were asked agree"),
        (agree, asked) => format!("THE NODES DIFFER: {agree} of {asked} say this"),
    };
    for other in &agreement.others {
        text.push_str("\n  ");
        text.push_str(other);
    }
    text
}

/// The same for programs.
pub fn agreement_json(agreement: &Agreement) -> Value {
    json!({ "asked": agreement.asked, "agree": agreement.agree, "others": agreement.others })
}

/// A reason for programs.
pub fn reason_json(reason: &Reason) -> Value {
    json!({ "code": reason.code, "name": reason_name(reason.code), "text": reason.text.as_str() })
}

/// What became of a transaction, in a line.
pub fn fate_text(submitted: &Submitted, confirmations: u64) -> String {
    match &submitted.fate {
        Fate::Held { nodes } => format!("held by {}", count(*nodes as u64, "node", "nodes")),
        Fate::Included(included) => {
            let height = included.inclusion.header.height;
            match (&included.certificate, included.settled) {
                (Some(certificate), _) => format!(
                    "final: in block {height}, by checkpoint {}",
                    certificate.checkpoint
                ),
                (None, true) => format!(
                    "included at height {height}, {confirmations} blocks deep (provisional: nobody finalises in this network)"
                ),
                (None, false) => {
                    let state = match submitted.is_reached() {
                        true => "",
                        false => ", not final yet",
                    };
                    format!(
                        "included at height {height} (depth {}){state}",
                        included.depth
                    )
                }
            }
        }
        Fate::Rejected { reason } => format!("refused: {}", words(reason)),
        Fate::Unknown { nodes: 0 } => "unknown: no node is known to hold it".to_owned(),
        Fate::Unknown { nodes } => format!(
            "unknown: held by {}, not in a block yet",
            count(*nodes as u64, "node", "nodes")
        ),
    }
}

/// The same for programs.
pub fn fate_json(submitted: &Submitted) -> Value {
    let mut value = match &submitted.fate {
        Fate::Held { nodes } => json!({ "state": "pending", "held_by": nodes }),
        Fate::Included(included) => json!({
            "state": if included.certificate.is_some() { "final" } else { "included" },
            "height": included.inclusion.header.height,
            "block": included.block,
            "block_time": rfc3339(included.inclusion.header.timestamp_ms),
            "depth": included.depth,
            "deep_enough": included.settled,
            "checkpoint": included.certificate.as_ref().map(|certificate| certificate.checkpoint),
        }),
        Fate::Rejected { reason } => json!({ "state": "rejected", "reason": reason_json(reason) }),
        Fate::Unknown { nodes } => json!({ "state": "unknown", "held_by": nodes }),
    };
    if let Some(refuted) = &submitted.refuted {
        value["refuted"] = json!(refuted);
    }
    value["transaction"] = json!(submitted.id);
    value["nodes"] = agreement_json(&submitted.agreement);
    value
}

/// The exit code of a transaction's fate. One that is in a block and was to be followed until it is final, and is not,
/// ends like one of which nothing is known: whether it stays there is not known either.
pub fn fate_exit(submitted: &Submitted) -> Exit {
    match &submitted.fate {
        Fate::Rejected { .. } => Exit::Rejected,
        _ if submitted.is_reached() => Exit::Done,
        // Nothing is known but what a proof refuted.
        Fate::Unknown { .. } if submitted.refuted.is_some() => Exit::Unverified,
        Fate::Held { .. } | Fate::Included(_) | Fate::Unknown { .. } => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table = Table::new(["option", "votes"]);
        table.row(["Café".into(), "1".into()]);
        table.row(["図書館".into(), "20".into()]);
        assert_eq!(table.render(), "option  votes\nCafé    1\n図書館  20");
    }

    #[test]
    fn bars_are_in_proportion_and_never_hide_a_vote() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(10, 10).chars().count(), BAR_WIDTH);
        assert_eq!(bar(5, 10).chars().count(), BAR_WIDTH / 2);
        assert_eq!(bar(1, 1_000_000).chars().count(), 1);
        assert_eq!(bar(3, 0), "█");
    }

    #[test]
    fn shares_are_exact_to_the_decimal() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(
            (percent(4, 7), percent(3, 7)),
            ("57.1 %".into(), "42.9 %".into())
        );
        assert_eq!(percent(3, 3), "100.0 %");
        assert_eq!(percent(0, 0), "–");
    }

    #[test]
    fn disagreement_is_said_loudly() {
        let mut agreement = Agreement {
            asked: 3,
            agree: 3,
            others: vec![],
        };
        assert!(agreement_text(&agreement).contains("all 3 nodes"));
        agreement.agree = 2;
        agreement.others.push("peer: otherwise".into());
        let text = agreement_text(&agreement);
        assert!(text.contains("DIFFER") && text.contains("peer: otherwise"));
    }

    #[test]
    fn every_fate_has_its_exit_code() {
        let reason = Reason {
            code: 3,
            text: crate::wire::Text::new("no").expect("short"),
        };
        let mut submitted = Submitted {
            id: crate::chain::transaction::TxId::ZERO,
            fate: Fate::Held { nodes: 1 },
            agreement: Agreement::default(),
            goal: crate::client::submission::Goal::Final,
            refuted: None,
        };
        assert_eq!(fate_exit(&submitted), Exit::Done);
        submitted.fate = Fate::Rejected { reason };
        assert_eq!(fate_exit(&submitted), Exit::Rejected);
        submitted.fate = Fate::Unknown { nodes: 0 };
        assert_eq!(fate_exit(&submitted), Exit::Unknown);
        submitted.refuted = Some("a peer: not so".into());
        assert_eq!(fate_exit(&submitted), Exit::Unverified);
    }
}
