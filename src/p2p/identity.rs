//! Who a node is on the network: an Ed25519 key pair and the [`PeerId`] that follows from it.
//!
//! Knows key material only; where the bytes are kept, and under which file mode, is the caller's business.

use libp2p::PeerId;
use libp2p::identity;

/// The key pair a node proves its [`PeerId`] with in every handshake.
///
/// `Debug` shows the peer id alone, so that a key never ends up in a log.
#[derive(Clone)]
pub struct Keypair(identity::Keypair);

/// The bytes are no key pair in libp2p's protobuf encoding, or not an Ed25519 one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key pair in libp2p's protobuf encoding")]
pub struct InvalidKeypair;

impl Keypair {
    /// A fresh Ed25519 key pair from the operating system's generator.
    pub fn generate() -> Self {
        Self(identity::Keypair::generate_ed25519())
    }

    /// Reads what [`Keypair::to_protobuf`] wrote: libp2p's `PrivateKey` message, Ed25519 only.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, InvalidKeypair> {
        let keypair =
            identity::Keypair::from_protobuf_encoding(bytes).map_err(|_| InvalidKeypair)?;
        if keypair.key_type() != identity::KeyType::Ed25519 {
            return Err(InvalidKeypair);
        }
        Ok(Self(keypair))
    }

    /// The secret key as libp2p's `PrivateKey` protobuf message (68 bytes). Keep it as secret as a password.
    pub fn to_protobuf(&self) -> Result<Vec<u8>, InvalidKeypair> {
        self.0.to_protobuf_encoding().map_err(|_| InvalidKeypair)
    }

    /// The public name of whoever holds this key pair.
    pub fn peer_id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    pub(crate) fn inner(&self) -> &identity::Keypair {
        &self.0
    }
}

impl std::fmt::Debug for Keypair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keypair({})", self.peer_id())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_restore_the_same_identity() {
        let keypair = Keypair::generate();
        let restored = Keypair::from_protobuf(&keypair.to_protobuf().unwrap()).unwrap();
        assert_eq!(keypair.peer_id(), restored.peer_id());
    }

    #[test]
    fn garbage_is_an_error_and_debug_hides_the_secret() {
        assert_eq!(Keypair::from_protobuf(b"nope").unwrap_err(), InvalidKeypair);
        let keypair = Keypair::generate();
        assert_eq!(
            format!("{keypair:?}"),
            format!("Keypair({})", keypair.peer_id())
        );
    }
}
