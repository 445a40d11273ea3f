//! What a person sees: on a terminal a live picture of the nodes under the steps done so far, in a pipe a line per step.
//!
//! People's text goes to stdout, or to stderr where stdout is for a program.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::outcome::Outcome;
use super::watch::{Picture, Pictures};

/// Columns of everything that stays, on a terminal that has more, and where nobody knows how many there are.
const MAX_COLUMNS: usize = 92;
/// Fewest columns that text is fitted to.
const MIN_COLUMNS: usize = 50;
/// Columns that a finished step takes besides its text: its tick before, its time behind.
const STEP_FRAME: usize = 14;
/// From so many columns on a node's line says everything.
const WIDE: usize = 110;
/// Columns of the longest bar of a result.
const RESULT_COLUMNS: usize = 24;

/// The display.
#[derive(Debug)]
pub struct View {
    to_stderr: bool,
    colour: bool,
    /// Columns of the terminal.
    columns: usize,
    live: Option<Live>,
    stage: Mutex<Option<Stage>>,
}

#[derive(Debug)]
struct Live {
    lines: MultiProgress,
    stage: ProgressBar,
    nodes: Vec<ProgressBar>,
}

#[derive(Debug)]
struct Stage {
    text: String,
    begun: Instant,
}

impl View {
    /// A display for so many nodes.
    pub fn new(json: bool, nodes: usize) -> Self {
        let terminal = if json {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let target = if json {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::stdout()
        };
        // A terminal that cannot move its cursor gets plain lines.
        let capable = terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let view = Self {
            to_stderr: json,
            colour: capable && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            columns: terminal_size::terminal_size()
                .filter(|_| capable)
                .map_or(WIDE, |(width, _)| usize::from(width.0).max(MIN_COLUMNS)),
            live: capable.then(|| Live::new(target, nodes)),
            stage: Mutex::default(),
        };
        view.line("");
        view.line(&format!(
            "{} an election with no server, on this machine",
            view.bold("votenode demo:")
        ));
        view.line("");
        view
    }

    /// A step begins.
    pub fn begin(&self, text: &str) {
        *self.lock() = Some(Stage {
            text: text.to_owned(),
            begun: Instant::now(),
        });
        if let Some(live) = &self.live {
            live.stage.set_style(style("  {spinner:.cyan} {wide_msg}"));
            live.stage.set_message(text.to_owned());
            live.stage.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// The step under way has this many parts.
    pub fn expect(&self, parts: usize) {
        if let Some(live) = &self.live {
            live.stage.set_style(style(
                "  {spinner:.cyan} {msg}  {bar:24.cyan/dim}  {pos}/{len}",
            ));
            live.stage.set_length(parts as u64);
            live.stage.set_position(0);
        }
    }

    /// So many parts are done.
    pub fn position(&self, parts: usize) {
        if let Some(live) = &self.live {
            live.stage.set_position(parts as u64);
        }
    }

    /// What the step under way waits for.
    pub fn status(&self, text: String) {
        if let Some(live) = &self.live {
            live.stage.set_message(text);
        }
    }

    /// The step under way has been seen to succeed.
    pub fn done(&self, seen: &str) {
        let begun = self.lock().take().map(|stage| stage.begun);
        let seconds = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let columns = self.columns.min(MAX_COLUMNS) - STEP_FRAME;
        let mut lines = wrapped(seen, columns).into_iter();
        let first = lines.next().unwrap_or_default();
        let padding = columns.saturating_sub(width(&first));
        self.line(&format!(
            "  {} {first}{:padding$} {}",
            self.paint("32", "✓"),
            "",
            self.paint("2", &format!("{seconds:>5.1} s")),
        ));
        for line in lines {
            self.line(&format!("    {line}"));
        }
    }

    /// Something that belongs to the last finished step, such as what a node says.
    pub fn note(&self, text: &str) {
        for line in wrapped(text, self.columns.min(MAX_COLUMNS) - STEP_FRAME) {
            self.line(&format!("    {}", self.paint("2", &line)));
        }
    }

    /// A sentence or more under the result.
    fn paragraph(&self, text: &str) {
        for line in wrapped(text, self.columns.min(MAX_COLUMNS) - 4) {
            self.line(&format!("  {line}"));
        }
    }

    /// The step under way, in words.
    pub fn step(&self) -> Option<String> {
        self.lock().as_ref().map(|stage| stage.text.clone())
    }

    /// The nodes as they are now.
    pub fn nodes(&self, pictures: &Pictures) {
        let Some(live) = &self.live else { return };
        for ((bar, picture), number) in live.nodes.iter().skip(1).zip(pictures).zip(1..) {
            let words = match picture {
                Some(picture) => self.describe(picture),
                None => self.paint("31", "down"),
            };
            bar.set_message(format!("    node {number:<2} {words}"));
        }
    }

    fn describe(&self, picture: &Picture) -> String {
        let miner = match (picture.mining.enabled, picture.mining.phase.as_deref()) {
            (false, _) => self.paint("2", "does not mine"),
            (true, Some(phase @ ("waiting" | "mining"))) => {
                let height = picture.mining.height.unwrap_or(picture.tip.height + 1);
                let counts = picture
                    .mining
                    .counts
                    .iter()
                    .filter(|(_, count)| **count > 0);
                let load: Vec<String> = counts
                    .map(|(kind, count)| format!("{count} {}", plural(kind, *count)))
                    .collect();
                match (phase, load.is_empty()) {
                    ("waiting", true) => self.paint("2", &format!("is ready for block {height}")),
                    (_, true) => self.paint("33", &format!("mines block {height}, empty")),
                    (_, false) => {
                        self.paint("33", &format!("mines block {height}: {}", load.join(", ")))
                    }
                }
            }
            (true, Some("standing_by")) => self.paint("2", "stands by"),
            (true, _) => self.paint("2", "rests"),
        };
        let last = picture.finality.as_ref().map(|finality| {
            let colour = if finality.height == picture.tip.height {
                "32"
            } else {
                "33"
            };
            self.paint(colour, &format!("   final {:>3}", finality.height))
        });
        if self.columns < WIDE {
            return format!(
                "block {:>3}{}   {:>5} waiting   {miner}",
                picture.tip.height,
                last.unwrap_or_default(),
                picture.waiting(),
            );
        }
        format!(
            "block {:>3} {}{}   {:>2} peers   {:>5} waiting   mined {:>3}   {miner}",
            picture.tip.height,
            self.paint("2", picture.tip.id.get(..8).unwrap_or_default()),
            last.unwrap_or_default(),
            picture.peers,
            picture.waiting(),
            picture.counters.blocks_mined,
        )
    }

    /// Everything was seen: the result, and where to go next.
    pub fn finish(&self, outcome: &Outcome) {
        self.clear();
        self.line("");
        self.line(&format!("  {}", self.bold(&outcome.question)));
        let most = outcome
            .results
            .iter()
            .map(|result| result.votes)
            .max()
            .unwrap_or(0)
            .max(1);
        let widest = outcome
            .results
            .iter()
            .map(|result| width(&result.option))
            .max()
            .unwrap_or(0);
        let all = outcome.votes_counted.max(1);
        for result in &outcome.results {
            let width = width(&result.option);
            let filled = usize::try_from(result.votes * RESULT_COLUMNS as u64 / most).unwrap_or(0);
            let bar = format!(
                "{}{}",
                "█".repeat(filled),
                " ".repeat(RESULT_COLUMNS - filled)
            );
            let bar = self.paint(if result.elected { "32" } else { "36" }, &bar);
            let percent = 100.0 * result.votes as f64 / all as f64;
            let line = format!(
                "    {}{}  {bar} {:>6}  {percent:>5.1} %{}",
                result.option,
                " ".repeat(widest - width),
                result.votes,
                if result.elected {
                    self.bold(if outcome.by_lot {
                        "  elected, by lot"
                    } else {
                        "  elected"
                    })
                } else {
                    String::new()
                },
            );
            self.line(line.trim_end());
        }
        self.line("");
        self.paragraph(&format!(
            "{} votes of {} registered voters in {} blocks on {} nodes, in {:.0} seconds. All of it was checked.",
            outcome.votes_counted, outcome.registered, outcome.blocks, outcome.nodes, outcome.seconds,
        ));
        self.line("");
        for line in standing(outcome) {
            self.paragraph(&line);
        }
        self.line("");
        match &outcome.directory {
            Some(directory) => {
                self.line(&format!("  Everything is in {}: try", directory.display()));
                self.line(&format!(
                    "    votenode audit {}",
                    directory.join("election.votechain").display()
                ));
            }
            None => self
                .line("  To keep the chain, the nodes' data and their logs: votenode demo --keep"),
        }
        self.paragraph(
            "For an election of your own run `votenode` on two machines of one network, then `ballot register` and \
             `ballot open config/election-example.toml --closes-in 10m` on any of them. README.md goes on from there.",
        );
        self.line("");
    }

    /// It ends early.
    pub fn abandon(&self) {
        if let Some(stage) = self.lock().take() {
            self.line(&format!("  {} {}", self.paint("31", "✗"), stage.text));
        }
        self.clear();
    }

    fn clear(&self) {
        if let Some(live) = &self.live {
            live.stage.finish_and_clear();
            for bar in &live.nodes {
                bar.finish_and_clear();
            }
        }
    }

    /// Prints a line that stays.
    fn line(&self, text: &str) {
        if let Some(live) = &self.live {
            // Nothing printed is lost but to a terminal that went away.
            let _ = live.lines.println(if text.is_empty() { " " } else { text });
            return;
        }
        // A reader that went away, such as `head`, changes nothing about the election.
        let _ = if self.to_stderr {
            writeln!(io::stderr().lock(), "{text}")
        } else {
            writeln!(io::stdout().lock(), "{text}")
        };
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn new(target: ProgressDrawTarget, nodes: usize) -> Self {
        let lines = MultiProgress::with_draw_target(target);
        let stage = lines.add(ProgressBar::new_spinner());
        let add = |_| {
            let bar = lines.add(ProgressBar::new_spinner());
            bar.set_style(style("{wide_msg}"));
            bar
        };
        let space = add(0);
        space.set_message(" ");
        let nodes = std::iter::once(space).chain((0..nodes).map(add)).collect();
        Self {
            lines,
            stage,
            nodes,
        }
    }
}

/// What the result is worth, in words.
fn standing(outcome: &Outcome) -> Vec<String> {
    let Some(spread) = &outcome.finality_ms else {
        return vec![
            "Provisional, as nobody finalises in this network; not one person, one vote, as anybody may register."
                .to_owned(),
        ];
    };
    let finalisers = match outcome.finalisers {
        1 => "one finaliser decides".to_owned(),
        some => format!("{some} finalisers decide"),
    };
    // Fewer than a third may be missing or lie.
    let bears = match outcome.finalisers.saturating_sub(1) / 3 {
        0 => "none of them may be missing; of four one may".to_owned(),
        1 => "one of them may be missing, or lie".to_owned(),
        some => format!("{some} of them may be missing, or lie"),
    };
    vec![
        format!(
            "Final {} after a block (median; 95 of 100 within {}), and nobody can rewrite it any more.",
            time(spread.median),
            time(spread.p95),
        ),
        format!("In this network {finalisers}, and {bears}."),
        "Not one person, one vote, as anybody may register.".to_owned(),
    ]
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// Text in lines of at most so many columns, broken between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn time(ms: u64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        _ => format!("{:.1} s", ms.div_ceil(100) as f64 / 10.0),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn plural(kind: &str, count: u64) -> String {
    let kind = kind.replace('_', " ");
    if count == 1 { kind } else { format!("{kind}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 6), ["a", "verylongword", "b"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("ééé ✓✓✓", 7).len(), 1);
    }
}
