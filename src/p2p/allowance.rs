//! How much of something a peer may do: so much at once, and a little more as time goes by.

use std::time::{Duration, Instant};

/// A peer's account.
#[derive(Debug, Clone)]
pub(crate) struct Allowance {
    most: u64,
    forgiven: Duration,
    used: u64,
    /// Up to when use was forgiven; none before the first.
    since: Option<Instant>,
}

impl Allowance {
    /// `most` at once; one more in each `forgiven`, which is not zero.
    pub(crate) fn new(most: u64, forgiven: Duration) -> Self {
        Self {
            most,
            forgiven,
            used: 0,
            since: None,
        }
    }

    /// Uses `count`. Says whether that is within what is allowed; what is above it is forgiven later, too.
    pub(crate) fn take(&mut self, count: u64, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let spans = now.saturating_duration_since(since).as_millis() / self.forgiven.as_millis();
        let spans = u32::try_from(spans).unwrap_or(u32::MAX);
        self.used = self.used.saturating_sub(u64::from(spans));
        self.since = since.checked_add(self.forgiven.saturating_mul(spans));
        // Nobody has to wait longer than whoever used up twice as much.
        self.used = self.used.saturating_add(count).min(2 * self.most);
        self.used <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let (start, span) = (Instant::now(), Duration::from_millis(100));
        let mut allowance = Allowance::new(10, span);
        assert!(allowance.take(10, start));
        assert!(!allowance.take(1, start));
        assert!(allowance.take(1, start + 2 * span));
        assert!(!allowance.take(1_000, start + 2 * span));
        assert!(!allowance.take(1, start + 10 * span));
        assert!(allowance.take(1, start + 22 * span));
    }
}
