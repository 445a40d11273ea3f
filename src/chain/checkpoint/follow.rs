//! Following checkpoints along a chain: which is the next, and which set of finalisers has to decide it.

use super::{CertificateError, CommitCertificate, FinaliserSet};
use crate::chain::block::BlockId;
use crate::chain::genesis::NetworkId;
use crate::chain::network::Network;

/// How far the checkpoints of a chain have been followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    last: u64,
    set: FinaliserSet,
}

impl Checkpoints {
    /// None yet.
    pub fn new(network: &Network) -> Self {
        Self::after(0, FinaliserSet::genesis(network))
    }

    /// After the checkpoint `last`, in the state after whose block `set` is the latest set of finalisers
    /// ([`View::latest_finaliser_set`](crate::chain::state::View::latest_finaliser_set)).
    pub fn after(last: u64, set: FinaliserSet) -> Self {
        Self { last, set }
    }

    /// Number of the last checkpoint; 0 for none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The set that decides the next one.
    pub fn set(&self) -> &FinaliserSet {
        &self.set
    }

    /// Checks that a certificate is that of the next checkpoint, for this block. The block has to be above the last
    /// checkpoint's and descend from it, which is for the caller to know.
    pub fn check(
        &self,
        network: &NetworkId,
        certificate: &CommitCertificate,
        block: &BlockId,
    ) -> Result<(), CertificateError> {
        let expected = self.last + 1;
        if certificate.checkpoint != expected {
            return Err(CertificateError::Number {
                claimed: certificate.checkpoint,
                expected,
            });
        }
        if certificate.block != *block {
            return Err(CertificateError::Block);
        }
        self.set.check(network, certificate)
    }

    /// Goes on to the next checkpoint, whose certificate passed; `set` is the latest in the state after its block.
    pub fn advance(&mut self, set: FinaliserSet) {
        self.last += 1;
        self.set = set;
    }
}
