//! Lines of the log that peers cause: enough of each kind to see what happens, never a flood.
//!
//! Identities are free, so whatever is logged once per peer is logged as often as somebody likes.

use std::collections::BTreeMap;

use tracing::info;

/// Lines of one kind a minute; more are counted.
const LINES: u64 = 20;
/// A minute, in milliseconds.
const WINDOW_MS: u64 = 60_000;

/// How often each kind of line was asked for in this minute.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    began_ms: u64,
    asked: BTreeMap<&'static str, u64>,
}

impl Quiet {
    /// Whether another line of this kind may be logged at this moment of the monotonic clock. What was kept back is told
    /// in one line when the minute is over and something is asked again.
    pub(super) fn may_say(&mut self, kind: &'static str, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.began_ms) >= WINDOW_MS {
            for (kind, count) in self.kept_back() {
                info!(count, "more lines \"{kind}\" were not logged");
            }
            self.began_ms = now_ms;
            self.asked.clear();
        }
        let asked = self.asked.entry(kind).or_default();
        *asked += 1;
        *asked <= LINES
    }

    fn kept_back(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let asked = self.asked.iter();
        asked
            .map(|(kind, asked)| (*kind, asked.saturating_sub(LINES)))
            .filter(|(_, kept)| *kept > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_lines_a_minute_and_the_rest_is_counted() {
        let mut quiet = Quiet::default();
        let said = (0..1_000).filter(|_| quiet.may_say("came", 5)).count();
        assert_eq!(said as u64, LINES);
        assert!(quiet.may_say("went", 5));
        let kept: Vec<_> = quiet.kept_back().collect();
        assert_eq!(kept, [("came", 1_000 - LINES)]);
        assert!(!quiet.may_say("came", WINDOW_MS - 1));
        assert!(quiet.may_say("came", WINDOW_MS + 5));
    }
}
