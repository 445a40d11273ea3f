//! A report as a page of text.

use std::fmt::Write as _;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr as _;

use super::report::{AdmissionKind, ElectionReport, FinalityReport, Report};
use crate::protocol::submit::ElectionPhase;

/// The report as text for people, with a line feed at its end.
pub fn render(report: &Report) -> String {
    let mut page = format!(
        "The chain of network \"{}\" is sound.\n\n",
        report.network_name
    );
    let facts = [
        ("network", report.network_id.to_string()),
        (
            "last block",
            format!("{}, {}", report.tip.height, time(report.tip.timestamp_ms)),
        ),
        ("block id", report.tip.id.to_string()),
        ("transactions", report.transactions.to_string()),
        ("voters", report.voters.to_string()),
    ];
    table(
        &mut page,
        facts.map(|(name, value)| vec![Cell::left(name), Cell::left(value)]),
    );
    registrations(&mut page, report);
    invitations(&mut page, report);
    if let Some(finality) = &report.finality {
        self::finality(&mut page, finality);
    }
    for election in &report.elections {
        page.push('\n');
        self::election(&mut page, election);
    }
    if !report.warnings.is_empty() {
        page.push_str("\nBe warned\n");
    }
    for warning in &report.warnings {
        let _ = writeln!(page, "  {warning}");
    }
    page
}

fn registrations(page: &mut String, report: &Report) {
    if report.registrations.is_empty() {
        return;
    }
    page.push_str("\nRegistrations\n");
    let head = vec![
        Cell::left("group"),
        Cell::left("admission"),
        Cell::right("voters"),
    ];
    let rows = report.registrations.iter().map(|registrations| {
        let admission = match registrations.admission {
            AdmissionKind::Open => "open",
            AdmissionKind::Invited => "invited",
        };
        vec![
            Cell::left(&registrations.group),
            Cell::left(admission),
            Cell::right(registrations.voters),
        ]
    });
    table(page, std::iter::once(head).chain(rows));
}

fn invitations(page: &mut String, report: &Report) {
    if report.invitations.is_empty() {
        return;
    }
    page.push_str("\nInvitations\n");
    let head = vec![
        Cell::left("group"),
        Cell::left("issued by"),
        Cell::left("at"),
        Cell::right("issued"),
        Cell::right("used"),
        Cell::right("revoked"),
        Cell::left("last used"),
        Cell::left("last revoked"),
    ];
    let at = |ms: Option<u64>| Cell::left(ms.map_or("-".to_owned(), time));
    let rows = report.invitations.iter().map(|batch| {
        vec![
            Cell::left(&batch.group),
            Cell::left(&batch.organiser),
            Cell::left(time(batch.issued_at_ms)),
            Cell::right(batch.issued),
            Cell::right(batch.used),
            Cell::right(batch.revoked),
            at(batch.last_used_at_ms),
            at(batch.last_revoked_at_ms),
        ]
    });
    table(page, std::iter::once(head).chain(rows));
}

fn finality(page: &mut String, finality: &FinalityReport) {
    page.push_str("\nFinality\n");
    let last = finality.last_checkpoint.map_or("none".to_owned(), |last| {
        format!(
            "{}, block {}, {}",
            last.checkpoint,
            last.block.height,
            time(last.block.timestamp_ms)
        )
    });
    table(
        page,
        [
            vec![Cell::left("last checkpoint"), Cell::left(last)],
            vec![
                Cell::left("convictions"),
                Cell::left(finality.convictions.len()),
            ],
        ],
    );
    for set in &finality.sets {
        let made = match set.set {
            0 => "of the genesis".to_owned(),
            _ => format!(
                "made by block {}, {}",
                set.made_by.height,
                time(set.made_by.timestamp_ms)
            ),
        };
        let decides = match set.first_checkpoint {
            Some(first) => format!("decides from checkpoint {first} on"),
            None => "has decided nothing".to_owned(),
        };
        let _ = writeln!(page, "\nFinalisers, set {}, {made}, {decides}", set.set);
        let head = vec![
            Cell::left("finaliser"),
            Cell::right("power"),
            Cell::left("key"),
        ];
        let rows = set.finalisers.iter().map(|finaliser| {
            vec![
                Cell::left(&finaliser.name),
                Cell::right(finaliser.power),
                Cell::left(finaliser.key),
            ]
        });
        table(page, std::iter::once(head).chain(rows));
    }
    if finality.convictions.is_empty() {
        return;
    }
    page.push_str("\nConvicted of signing two messages where there may be one\n");
    let head = [
        "finaliser",
        "message",
        "checkpoint",
        "round",
        "in block",
        "key",
    ];
    let rows = finality.convictions.iter().map(|conviction| {
        vec![
            Cell::left(&conviction.name),
            Cell::left(conviction.message),
            Cell::right(conviction.checkpoint),
            Cell::right(conviction.round),
            Cell::right(conviction.height),
            Cell::left(conviction.finaliser),
        ]
    });
    let head = head.map(Cell::left).into();
    table(page, std::iter::once(head).chain(rows));
}

fn election(page: &mut String, election: &ElectionReport) {
    let _ = writeln!(page, "{}", election.title);
    let seats = match election.seats {
        1 => "1 seat".to_owned(),
        seats => format!("{seats} seats"),
    };
    let state = match (election.phase, election.closing_block, election.depth) {
        (_, Some(block), _) if let Some(checkpoint) = election.final_by_checkpoint => format!(
            "final: closed by block {}, made final by checkpoint {checkpoint}",
            block.height
        ),
        (phase, Some(block), Some(depth)) => format!(
            "{}: closed by block {}, {} on top",
            phase_name(phase),
            block.height,
            match depth {
                1 => "1 block".to_owned(),
                depth => format!("{depth} blocks"),
            }
        ),
        (phase, ..) => phase_name(phase).to_owned(),
    };
    let mut facts = vec![
        ("election", election.election.to_string()),
        ("question", election.question.clone()),
        ("method", format!("{}, {seats}", election.method)),
        ("for", election.groups.join(", ")),
        (
            "polls",
            format!(
                "{} to {}",
                time(election.opens_at_ms),
                time(election.closes_at_ms)
            ),
        ),
        ("result", state),
        (
            "votes",
            format!(
                "{} of {} eligible, {} blank",
                election.votes, election.eligible, election.blank
            ),
        ),
    ];
    if election.spoiled > 0 {
        facts.push(("spoiled", election.spoiled.to_string()));
    }
    table(
        page,
        facts
            .into_iter()
            .map(|(name, value)| vec![Cell::left(name), Cell::left(value)]),
    );
    page.push('\n');
    let done = election.closing_block.is_some();
    table(
        page,
        election.options.iter().map(|option| {
            let mark = match option.seat {
                Some(seat) if election.seats > 1 => {
                    format!("{} {seat}", if done { "elected" } else { "leading" })
                }
                Some(_) if done => "elected".to_owned(),
                Some(_) => "leading".to_owned(),
                None => String::new(),
            };
            vec![
                Cell::left(&option.name),
                Cell::right(option.total),
                Cell::left(mark),
            ]
        }),
    );
    if election.by_lot && done {
        page.push_str("\n  the tie was decided by lot, which anyone can draw again\n");
    }
}

const fn phase_name(phase: ElectionPhase) -> &'static str {
    match phase {
        ElectionPhase::Scheduled => "polls not open yet",
        ElectionPhase::Open => "polls open",
        ElectionPhase::Closing => "polls closed, no closing block yet",
        ElectionPhase::Provisional => "provisional",
        ElectionPhase::Final => "final",
    }
}

/// UTC to the second.
fn time(ms: u64) -> String {
    i64::try_from(ms / 1_000)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{ms} ms"), |time| time.to_string())
}

struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    fn left(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            right: false,
        }
    }

    fn right(number: impl ToString) -> Self {
        Self {
            text: number.to_string(),
            right: true,
        }
    }
}

/// Writes rows under one another, every column as wide as its widest cell on a terminal.
fn table(page: &mut String, rows: impl IntoIterator<Item = Vec<Cell>>) {
    let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.width()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let space = " ".repeat(width - cell.text.width());
            line.push_str("  ");
            if cell.right {
                line.push_str(&space);
                line.push_str(&cell.text);
            } else {
                line.push_str(&cell.text);
                line.push_str(&space);
            }
        }
        let _ = writeln!(page, "{}", line.trim_end());
    }
}
