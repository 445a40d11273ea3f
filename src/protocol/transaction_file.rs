//! Signed transactions in a text file, to be carried to a node and handed in by anybody.
//!
//! ```text
//! votenode transactions 1
//! network: 64 hexadecimal digits
//!
//! one transaction a line, its canonical encoding in hexadecimal
//! ```
//!
//! Nothing in it is secret and nothing can be changed: every transaction carries its signature.

use std::fmt::Write as _;

use crate::chain::genesis::NetworkId;
use crate::chain::transaction::Transaction;
use crate::wire::{self, DecodeError, Message as _, ParseBytesError};

/// Longest file, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Most transactions in a file.
pub const MAX_TRANSACTIONS: usize = 100_000;

const NAME: &str = "votenode transactions ";
const VERSION: &str = "1";

/// Why a text is not a file of transactions. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionFileError {
    /// Something else.
    #[error("this is not a file of votenode transactions")]
    NotTransactions,
    /// A later form.
    #[error(
        "this file of transactions has version '{0}', and this program knows version {VERSION} only"
    )]
    Version(String),
    /// Too long, or too many transactions.
    #[error(
        "a file of transactions has at most {MAX_TRANSACTIONS} of them and {MAX_FILE_BYTES} bytes"
    )]
    TooLong,
    /// The network's line is missing or wrong.
    #[error("line 2: 'network: ' and a network id are wanted: {0}")]
    Network(ParseBytesError),
    /// No hexadecimal number.
    #[error("line {line}: not hexadecimal, or cut off")]
    Hex {
        /// Which line.
        line: usize,
    },
    /// No transaction.
    #[error("line {line}: {source}")]
    Transaction {
        /// Which line.
        line: usize,
        /// What is wrong.
        source: DecodeError,
    },
    /// A transaction of another network than the file says.
    #[error("line {line}: the transaction is for another network")]
    OtherNetwork {
        /// Which line.
        line: usize,
    },
}

/// Lower-case hexadecimal digits of bytes.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes of hexadecimal digits, of at most `max_bytes`.
pub fn from_hex(text: &str, max_bytes: usize) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() / 2 > max_bytes {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            Some((high << 4 | low) as u8)
        })
        .collect()
}

/// The text of a file.
pub fn write(network: &NetworkId, transactions: &[Transaction]) -> String {
    let mut text = format!("{NAME}{VERSION}\nnetwork: {network}\n\n");
    for transaction in transactions {
        text.push_str(&to_hex(&wire::encode(transaction)));
        text.push('\n');
    }
    text
}

/// Reads the text of a file. Signatures are for the nodes to check.
pub fn parse(text: &str) -> Result<(NetworkId, Vec<Transaction>), TransactionFileError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(TransactionFileError::TooLong);
    }
    let mut lines = text.lines().map(str::trim_end).enumerate();
    let (_, first) = lines.next().ok_or(TransactionFileError::NotTransactions)?;
    let version = first
        .strip_prefix(NAME)
        .ok_or(TransactionFileError::NotTransactions)?;
    if version != VERSION {
        return Err(TransactionFileError::Version(
            version.chars().take(16).collect(),
        ));
    }
    let network: NetworkId = lines
        .next()
        .and_then(|(_, line)| line.strip_prefix("network: "))
        .unwrap_or_default()
        .parse()
        .map_err(TransactionFileError::Network)?;
    let mut transactions = Vec::new();
    for (index, digits) in lines.filter(|(_, line)| !line.is_empty()) {
        let line = index + 1;
        if transactions.len() == MAX_TRANSACTIONS {
            return Err(TransactionFileError::TooLong);
        }
        let bytes =
            from_hex(digits, Transaction::MAX_BYTES).ok_or(TransactionFileError::Hex { line })?;
        let transaction: Transaction = wire::decode(&bytes)
            .map_err(|source| TransactionFileError::Transaction { line, source })?;
        if transaction.network != network.tag() {
            return Err(TransactionFileError::OtherNetwork { line });
        }
        transactions.push(transaction);
    }
    Ok((network, transactions))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::invite;

    fn example() -> (NetworkId, Vec<Transaction>) {
        let network = NetworkId::from_bytes([7; 32]);
        let organiser = crate::crypto::SigningKey::from_seed(&[1; 32]);
        let key = crate::crypto::SigningKey::from_seed(&[2; 32]).public_key();
        (network, invite::revoke(&network, &[key], &organiser))
    }

    #[test]
    fn what_is_written_is_read() {
        let (network, transactions) = example();
        let text = write(&network, &transactions);
        assert_eq!(parse(&text), Ok((network, transactions.clone())));
        let windows = text.replace('\n', "\r\n");
        assert_eq!(parse(&windows), Ok((network, transactions)));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let (network, transactions) = example();
        let text = write(&network, &transactions);
        assert_eq!(parse(""), Err(TransactionFileError::NotTransactions));
        assert_eq!(parse("hello"), Err(TransactionFileError::NotTransactions));
        let later = text.replacen(" 1\n", " 2\n", 1);
        assert_eq!(
            parse(&later),
            Err(TransactionFileError::Version("2".into()))
        );
        let cut = &text[..text.len() - 2];
        assert_eq!(parse(cut), Err(TransactionFileError::Hex { line: 4 }));
        let shorter = &text[..text.len() - 3];
        assert!(matches!(
            parse(shorter),
            Err(TransactionFileError::Transaction { line: 4, .. })
        ));
        let other = write(&NetworkId::from_bytes([8; 32]), &transactions);
        assert_eq!(
            parse(&other),
            Err(TransactionFileError::OtherNetwork { line: 4 })
        );
        let unnamed = text.replacen("network: ", "net: ", 1);
        assert!(matches!(
            parse(&unnamed),
            Err(TransactionFileError::Network(_))
        ));
    }
}
