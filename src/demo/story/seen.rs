//! What the steps wait to see in what the nodes say of themselves, and on the clock.

use crate::client::time::now_ms;
use crate::demo::error::{DemoError, Problem};
use crate::demo::watch::{Picture, Pictures};

/// Whether every node answers and fulfils the condition.
pub(super) fn all(pictures: &Pictures, condition: impl Fn(&Picture) -> bool) -> bool {
    pictures
        .iter()
        .all(|picture| picture.as_ref().is_some_and(&condition))
}

/// Whether every node answers and all have the same best block.
pub(super) fn one_tip(pictures: &Pictures) -> bool {
    let first = pictures.first().and_then(Option::as_ref);
    first.is_some_and(|first| all(pictures, |picture| picture.tip == first.tip))
}

/// What a node says whose disk is full.
pub(super) fn full_disk(pictures: &Pictures) -> Option<DemoError> {
    let full = |picture: &Option<Picture>| picture.as_ref().is_some_and(|p| p.disk_full);
    let index = pictures.iter().position(full)?;
    let mut error = DemoError::not_seen(format!("the disk is full, says node {}", index + 1));
    error.problem = Problem::DiskFull;
    Some(error)
}

/// Seconds from now until a time in Unix milliseconds, rounded up.
pub(super) fn seconds_until(time_ms: u64) -> u64 {
    time_ms.saturating_sub(now_ms()).div_ceil(1_000)
}
