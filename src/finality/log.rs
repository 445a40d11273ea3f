//! The write-ahead log: what the core has to be fed again, in order, to stand where it stood.
//!
//! An entry is opaque to whoever stores it: canonical CBOR that names its checkpoint. Five kinds of inputs move the core
//! in a way that must survive: proposals and votes, timeouts, verdicts on blocks, and polkas put together from votes;
//! a sixth entry marks the votes that the guard put in the place of the core's.
//! A log is only ever read by the program that wrote it and is dropped with its checkpoint, so that its format is no
//! part of the protocol.

use std::fmt;

use arc_malachitebft_core_consensus::{Input, ProposedValue};
use arc_malachitebft_core_types as core;
use core::{PolkaCertificate, PolkaSignature, Timeout, TimeoutKind, Validity, ValueOrigin};

use super::context::{Checkpoint, Ctx, Signed, number, round, signed};
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{MAX_ROUND, SignedFinalityMessage};
use crate::chain::transaction::Approval;
use crate::crypto::PublicKey;
use crate::wire::{self, List, Message, array_struct, tagged_enum};

/// An entry of the write-ahead log: canonical bytes, to be kept in order and given back as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEntry(Vec<u8>);

impl fmt::Debug for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.decode();
        f.debug_struct("LogEntry")
            .field("checkpoint", &entry.as_ref().map(|entry| entry.checkpoint))
            .field("kind", &entry.map(|entry| entry.record.discriminant()))
            .field("bytes", &self.0.len())
            .finish()
    }
}

tagged_enum! {
    /// What happened.
    pub enum Record {
        /// A proposal or vote came in, or was made.
        0 => Said {
            /// The message.
            message: SignedFinalityMessage,
        },
        /// A step took too long.
        1 => Elapsed {
            /// 0 propose, 1 prevote, 2 precommit.
            step: u8,
            /// Of which round.
            round: u64,
        },
        /// A block was judged, or chosen to be proposed.
        2 => Judged {
            /// The round of its proposal.
            round: u64,
            /// Who proposed it.
            proposer: PublicKey,
            /// The block.
            block: BlockId,
            /// 1 valid, 0 not.
            valid: u8,
        },
        /// Prevotes of more than two thirds for a block.
        3 => Polka {
            /// Their round.
            round: u64,
            /// The block.
            block: BlockId,
            /// The prevotes' signatures.
            prevotes: List<Approval, 1, 64>,
        },
        /// A vote for nil was cast instead of the one that the core wanted and the guard refused.
        4 => Instead {
            /// The message.
            message: SignedFinalityMessage,
        },
    }
}

array_struct! {
    /// An entry, decoded.
    pub struct Entry {
        /// The checkpoint that it belongs to.
        pub checkpoint: u64,
        /// What happened.
        pub record: Record,
    }
}

impl Message for Entry {
    // Sixty-four signatures with their keys, and little else.
    const MAX_BYTES: usize = 8 * 1024;
}

impl LogEntry {
    /// An entry read back from where it was kept. Bytes that were never an entry are refused; a log that ends in such
    /// is a torn one, and what comes before it can be used.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let entry = wire::decode::<Entry>(bytes).ok()?;
        entry.input().map(|_| Self(bytes.to_vec()))
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The checkpoint that the entry belongs to. It may be dropped once that one is decided.
    pub fn checkpoint(&self) -> Option<u64> {
        self.decode().map(|entry| entry.checkpoint)
    }

    pub(super) fn decode(&self) -> Option<Entry> {
        wire::decode(&self.0).ok()
    }

    /// The entry for an input of the core; none for inputs that need not survive. `instead` tells of which votes the
    /// core does not know that they are its own.
    pub(super) fn of_input(
        checkpoint: u64,
        input: &Input<Ctx>,
        instead: impl Fn(&SignedFinalityMessage) -> bool,
    ) -> Option<Self> {
        let record = match Record::of_input(input)? {
            Record::Said { message } if instead(&message) => Record::Instead { message },
            record => record,
        };
        Some(Self(wire::encode(&Entry { checkpoint, record })))
    }
}

impl Record {
    fn of_input(input: &Input<Ctx>) -> Option<Self> {
        Some(match input {
            Input::Vote(vote) => Self::Said {
                message: vote.message.with(vote.signature),
            },
            Input::Proposal(proposal) => Self::Said {
                message: proposal.message.with(proposal.signature),
            },
            Input::TimeoutElapsed(timeout) => Self::Elapsed {
                step: match timeout.kind {
                    TimeoutKind::Propose => 0,
                    TimeoutKind::Prevote => 1,
                    TimeoutKind::Precommit => 2,
                    TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
                },
                round: number(timeout.round)?,
            },
            Input::ProposedValue(value, _) => Self::Judged {
                round: number(value.round)?,
                proposer: value.proposer,
                block: value.value,
                valid: u8::from(value.validity.is_valid()),
            },
            Input::PolkaCertificate(certificate) => Self::Polka {
                round: number(certificate.round)?,
                block: certificate.value_id,
                prevotes: List::new(
                    certificate
                        .polka_signatures
                        .iter()
                        .map(|prevote| Approval {
                            key: prevote.address,
                            signature: prevote.signature,
                        })
                        .collect(),
                )
                .ok()?,
            },
            _ => return None,
        })
    }
}

impl Entry {
    /// The input of the core that the entry stands for; none if it cannot be one.
    pub(super) fn input(&self) -> Option<Input<Ctx>> {
        let in_bounds = |number: u64| (number <= MAX_ROUND).then(|| round(number));
        let height = Checkpoint(self.checkpoint);
        Some(match &self.record {
            Record::Said { message } | Record::Instead { message } => {
                let said = &message.message;
                if !said.is_well_formed() || said.height != self.checkpoint {
                    return None;
                }
                match signed(message)? {
                    Signed::Proposal(proposal) => Input::Proposal(proposal),
                    Signed::Vote(vote) => Input::Vote(vote),
                }
            }
            Record::Elapsed { step, round } => {
                let kind = match step {
                    0 => TimeoutKind::Propose,
                    1 => TimeoutKind::Prevote,
                    2 => TimeoutKind::Precommit,
                    _ => return None,
                };
                Input::TimeoutElapsed(Timeout::new(in_bounds(*round)?, kind))
            }
            Record::Judged {
                round,
                proposer,
                block,
                valid,
            } => {
                let value = ProposedValue {
                    height,
                    round: in_bounds(*round)?,
                    valid_round: core::Round::Nil,
                    proposer: *proposer,
                    value: *block,
                    validity: Validity::from_bool(*valid == 1),
                };
                Input::ProposedValue(value, ValueOrigin::Consensus)
            }
            Record::Polka {
                round,
                block,
                prevotes,
            } => Input::PolkaCertificate(PolkaCertificate {
                height,
                round: in_bounds(*round)?,
                value_id: *block,
                polka_signatures: prevotes
                    .iter()
                    .map(|prevote| PolkaSignature::new(prevote.key, prevote.signature))
                    .collect(),
            }),
        })
    }
}
