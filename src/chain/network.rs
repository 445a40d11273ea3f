//! A network: a genesis that was checked once, with everything that follows from it.

use std::ops::Deref;

use crate::chain::block::{BlockId, Header};
use crate::chain::genesis::{Genesis, GenesisError, NetworkId, NetworkTag};
use crate::chain::merkle::Tree;

/// A checked genesis with its identity and its block. Dereferences to the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    genesis: Genesis,
    id: NetworkId,
    header: Header,
    block: BlockId,
}

impl Network {
    /// Checks the genesis and derives the rest.
    pub fn new(genesis: Genesis) -> Result<Self, GenesisError> {
        genesis.check()?;
        let header = genesis.header(Tree::Roll.empty(), Tree::Transactions.empty());
        Ok(Self {
            id: header.network,
            block: header.id(),
            header,
            genesis,
        })
    }

    /// The parameters.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The identity of the network.
    pub fn id(&self) -> NetworkId {
        self.id
    }

    /// The label that the network's transactions carry.
    pub fn tag(&self) -> NetworkTag {
        self.id.tag()
    }

    /// Header of the genesis block.
    pub fn genesis_header(&self) -> &Header {
        &self.header
    }

    /// Id of the genesis block.
    pub fn genesis_block(&self) -> BlockId {
        self.block
    }
}

impl Deref for Network {
    type Target = Genesis;

    fn deref(&self) -> &Genesis {
        &self.genesis
    }
}
