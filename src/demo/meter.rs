//! How long blocks take from being on a node's best chain to being final there, by watching the nodes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::watch::Pictures;

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half of them are no longer than this.
    pub median: u64,
    /// 95 of 100 are no longer than this.
    pub p95: u64,
}

/// Takes the time of every block on every node: from the first picture of the node that shows it on the best chain to
/// the first that shows a checkpoint at or above it. Blocks that a node had when it was first seen do not count, and
/// neither do those of a time in which too few finalisers run.
#[derive(Debug, Default)]
pub struct Meter {
    nodes: Vec<Option<Track>>,
    spans: Vec<Duration>,
    paused: bool,
}

/// A node's blocks that are not final yet.
#[derive(Debug)]
struct Track {
    height: u64,
    open: VecDeque<(u64, Instant)>,
}

impl Meter {
    /// Takes in what the nodes say of themselves at this moment.
    pub fn look(&mut self, pictures: &Pictures, now: Instant) {
        self.nodes.resize_with(pictures.len(), || None);
        for (track, picture) in self.nodes.iter_mut().zip(pictures) {
            let Some(picture) = picture else {
                *track = None;
                continue;
            };
            let height = picture.tip.height;
            let fresh = Track {
                height,
                open: VecDeque::new(),
            };
            if self.paused {
                *track = Some(fresh);
                continue;
            }
            let track = track.get_or_insert(fresh);
            // What another branch replaced is counted from when its successor was seen.
            track.open.retain(|(open, _)| *open <= height);
            track
                .open
                .extend((track.height + 1..=height).map(|new| (new, now)));
            track.height = height;
            while let Some((open, since)) = track.open.front().copied()
                && open <= picture.final_height()
            {
                self.spans.push(now.duration_since(since));
                track.open.pop_front();
            }
        }
    }

    /// Nothing counts from here on: more finalisers are missing than the network bears.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// New blocks count again.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// What was measured; nothing, if nothing became final.
    pub fn spread(&self) -> Option<Spread> {
        let mut spans = self.spans.clone();
        spans.sort_unstable();
        let at = |percent: usize| {
            let index = (spans.len() * percent).div_ceil(100).checked_sub(1)?;
            u64::try_from(spans.get(index)?.as_millis()).ok()
        };
        Some(Spread {
            median: at(50)?,
            p95: at(95)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::watch::Picture;

    fn picture(height: u64, last: u64) -> Option<Picture> {
        Some(
            serde_json::from_value(serde_json::json!({
                "peer_id": "", "listening": [], "syncing": false, "peers": 0, "disk_full": false,
                "tip": { "id": "", "height": height, "timestamp_ms": 0, "roll_size": 0 },
                "mempool": { "transactions": {} },
                "mining": { "enabled": true, "phase": null, "height": null, "counts": {} },
                "counters": { "blocks_mined": 0 },
                "finality": { "checkpoint": last, "block": "", "height": last, "waiting": null },
            }))
            .unwrap(),
        )
    }

    #[test]
    fn blocks_are_timed_from_the_chain_to_the_checkpoint() {
        let mut meter = Meter::default();
        let start = Instant::now();
        let look = |meter: &mut Meter, ms: u64, pictures: Pictures| {
            meter.look(&pictures, start + Duration::from_millis(ms));
        };
        assert_eq!(meter.spread(), None);
        // What is there at first does not count.
        look(&mut meter, 0, vec![picture(3, 0), None]);
        look(&mut meter, 100, vec![picture(5, 3), picture(5, 3)]);
        look(&mut meter, 300, vec![picture(5, 4), picture(5, 5)]);
        look(&mut meter, 400, vec![picture(5, 5), None]);
        assert_eq!(
            meter.spread(),
            Some(Spread {
                median: 200,
                p95: 300
            })
        );
        meter.pause();
        look(&mut meter, 500, vec![picture(9, 5), picture(9, 5)]);
        look(&mut meter, 9_000, vec![picture(9, 9), picture(9, 9)]);
        meter.resume();
        look(&mut meter, 9_100, vec![picture(10, 10), picture(9, 9)]);
        assert_eq!(
            meter.spread(),
            Some(Spread {
                median: 200,
                p95: 300
            })
        );
    }
}
