//! Whole files: an exported chain that is audited, a genesis, a receipt that is verified, a secret.

use std::io::Cursor;
use std::path::Path;

use votenode::audit::audit_file;
use votenode::client::receipt::verify;
use votenode::crypto::secret_file;
use votenode::genesis;
use votenode::protocol::receipt::Receipt;
use votenode::wire;

use super::world::world;

/// By the number in the first byte.
pub const NAMES: [&str; 4] = ["chain", "genesis", "receipt", "secret"];

/// Longest chain that is audited, in bytes: an audit of more takes longer than finding something is worth.
const MAX_CHAIN_BYTES: usize = 64 * 1024;

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match NAMES[usize::from(*kind) % NAMES.len()] {
        "chain" => {
            let bytes = &bytes[..bytes.len().min(MAX_CHAIN_BYTES)];
            let mut blocks = 0;
            match audit_file(Cursor::new(bytes), None, |done| blocks = done.blocks) {
                Ok(_) => assert!(blocks as usize <= bytes.len()),
                Err(error) => assert!(!error.to_string().is_empty() && !error.rule().is_empty()),
            }
        }
        "genesis" => {
            if let Ok(parsed) = genesis::parse(bytes) {
                let text = genesis::to_toml(&parsed);
                assert_eq!(
                    genesis::parse(text.as_bytes()).as_ref().ok(),
                    Some(&parsed),
                    "{text}"
                );
            }
        }
        "receipt" => {
            if let Ok(receipt) = wire::decode::<Receipt>(bytes)
                && let Ok(proved) = verify(&world().network, &receipt)
            {
                assert_eq!(receipt.network, world().network.id(), "{proved:?}");
            }
        }
        _ => {
            if let Ok(file) = secret_file::parse(Path::new("secret"), bytes)
                && !file.is_sealed()
            {
                let secret = file.open(None).unwrap();
                assert!(secret.len() <= secret_file::MAX_SECRET_BYTES);
            }
        }
    }
}
