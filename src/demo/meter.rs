//! How long blocks take from being on a node's best chain to being final there, as the nodes themselves measure it.

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

/// Collects from every node how long each checkpoint's block took there. Blocks that a node had when it was first seen do
/// not count, and neither do those of a time in which too few finalisers run. Of checkpoints that follow each other
/// between two pictures only the last is seen.
#[derive(Debug, Default)]
pub struct Meter {
    nodes: Vec<Option<Track>>,
    spans_ms: Vec<u64>,
    paused: bool,
}

/// What is known of a node.
#[derive(Debug)]
struct Track {
    /// Blocks up to this height do not count.
    from_height: u64,
    /// The last checkpoint that was counted.
    checkpoint: u64,
}

impl Meter {
    /// Takes in what the nodes say of themselves.
    pub fn look(&mut self, pictures: &Pictures) {
        self.nodes.resize_with(pictures.len(), || None);
        for (track, picture) in self.nodes.iter_mut().zip(pictures) {
            let Some(picture) = picture else {
                *track = None;
                continue;
            };
            let Some(finality) = &picture.finality else {
                continue;
            };
            if self.paused || track.is_none() {
                *track = Some(Track {
                    from_height: picture.tip.height,
                    checkpoint: finality.checkpoint,
                });
                continue;
            }
            if let (Some(track), Some(took_ms)) = (track, finality.took_ms)
                && finality.checkpoint > track.checkpoint
            {
                track.checkpoint = finality.checkpoint;
                if finality.height > track.from_height {
                    self.spans_ms.push(took_ms);
                }
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
        let mut spans = self.spans_ms.clone();
        spans.sort_unstable();
        let at = |percent: usize| {
            let index = (spans.len() * percent).div_ceil(100).checked_sub(1)?;
            spans.get(index).copied()
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

    fn picture(height: u64, checkpoint: u64, last: u64, took_ms: u64) -> Option<Picture> {
        Some(
            serde_json::from_value(serde_json::json!({
                "peer_id": "", "listening": [], "syncing": false, "peers": 0, "disk_full": false,
                "tip": { "id": "", "height": height, "timestamp_ms": 0, "roll_size": 0 },
                "mempool": { "transactions": {} },
                "mining": { "enabled": true, "phase": null, "height": null, "counts": {} },
                "counters": { "blocks_mined": 0 },
                "finality": {
                    "checkpoint": checkpoint, "block": "", "height": last, "took_ms": took_ms, "waiting": null,
                },
            }))
            .unwrap(),
        )
    }

    #[test]
    fn every_checkpoint_counts_once_per_node_and_not_what_was_there_before() {
        let mut meter = Meter::default();
        assert_eq!(meter.spread(), None);
        meter.look(&vec![picture(3, 0, 0, 0), None]);
        // The node had this block when it was first seen.
        meter.look(&vec![picture(5, 1, 3, 900), picture(5, 1, 3, 900)]);
        meter.look(&vec![picture(5, 2, 4, 100), picture(5, 3, 5, 700)]);
        meter.look(&vec![picture(5, 2, 4, 100), picture(6, 4, 6, 300)]);
        meter.look(&vec![picture(5, 3, 5, 200), None]);
        let (median, p95) = (200, 300);
        assert_eq!(meter.spread(), Some(Spread { median, p95 }));
        meter.pause();
        meter.look(&vec![picture(9, 3, 5, 200), picture(9, 4, 6, 300)]);
        meter.resume();
        meter.look(&vec![picture(9, 4, 9, 9_000), picture(9, 5, 9, 9_000)]);
        assert_eq!(meter.spread(), Some(Spread { median, p95 }));
        meter.look(&vec![picture(10, 5, 10, 400), picture(9, 5, 9, 9_000)]);
        let (median, p95) = (200, 400);
        assert_eq!(meter.spread(), Some(Spread { median, p95 }));
    }
}
