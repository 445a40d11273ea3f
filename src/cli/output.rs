//! Results on stdout and progress on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;

/// Prints text on stdout. A reader that went away, such as `head`, is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one line of JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value).map_err(Failure::failed)?;
    line.push('\n');
    print(&line)
}

/// Prints JSON if that was asked for, else the text.
pub fn print_either(json: bool, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    if json { print_json(value) } else { print(text) }
}

/// A bar on stderr for work of known length, or a spinner if `length` is `None`; nothing where stderr is no terminal.
pub fn progress(what: &'static str, length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{msg} {wide_bar:.cyan/dim} {human_pos}/{human_len} {eta}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner:.cyan} {msg} {human_pos}",
        ),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A table with aligned columns, two spaces apart; numbers to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let columns = head.len();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let numeric = |column: usize| {
        !rows.is_empty()
            && rows.iter().all(|row| {
                let number = row[column].split(' ').next().unwrap_or_default();
                number == "-" || number.parse::<f64>().is_ok()
            })
    };
    let layout: Vec<(usize, bool)> = (0..columns).map(|c| (width(c), numeric(c))).collect();
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let line = row
            .iter()
            .zip(&layout)
            .map(|(cell, (width, numeric))| {
                if *numeric {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect::<Vec<_>>()
            .join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A duration in its two largest units, such as `3 h 12 min`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["ada".to_owned(), "7".to_owned()],
            vec!["grace".to_owned(), "-".to_owned()],
            vec!["x".to_owned(), "1234".to_owned()],
        ];
        let text = table(&["name", "votes"], &rows);
        assert_eq!(
            text,
            "name   votes\nada        7\ngrace      -\nx       1234\n"
        );
    }

    #[test]
    fn durations_have_at_most_two_units() {
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(90_061_000), "1 d 1 h");
    }
}
