//! The text of a secret file: a header that says how the secret is protected, an empty line, and the secret.
//!
//! ```text
//! votenode secret file 1
//! protection: none
//!
//! voter1…
//! ```
//!
//! or, under a passphrase, with the ciphertext in hexadecimal:
//!
//! ```text
//! votenode secret file 1
//! protection: argon2id chacha20poly1305
//! argon2id: 65536 KiB, 3 passes, 1 lanes
//! salt: 32 digits
//! nonce: 24 digits
//!
//! lines of 64 digits
//! ```
//!
//! A header has exactly one form, and the whole of it, empty line included, is the associated data of the ciphertext.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::passphrase::Cost;
use crate::crypto::code;
use crate::wire::bytes::parse_hex;

/// Longest secret, in bytes: room for more than ten thousand codes, one a line.
pub const MAX_SECRET_BYTES: usize = 1 << 20;

/// Longest file, in bytes: the longest secret in hexadecimal, with line ends and header to spare.
pub const MAX_FILE_BYTES: u64 = 3 << 20;

const NAME: &str = "votenode secret file ";
const VERSION: &str = "1";
const PLAIN_HEADER: &str = "votenode secret file 1\nprotection: none\n\n";

/// Bytes of ciphertext on a line.
const LINE_BYTES: usize = 32;

/// Why a text is not a secret file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Something else.
    #[error("this is not a secret file of votenode")]
    NotASecretFile,
    /// A later form of secret files.
    #[error("this secret file has version '{0}', and this program knows version {VERSION} only")]
    Version(String),
    /// The header is damaged.
    #[error("the header of the secret file is damaged")]
    Header,
    /// What follows the header is damaged.
    #[error("the secret in the secret file is damaged")]
    Body,
    /// Longer than any secret file.
    #[error("the file is longer than the {MAX_FILE_BYTES} bytes of the longest secret file")]
    TooLong,
}

/// What a secret file holds.
pub enum Content {
    /// The secret itself.
    Plain(Zeroizing<String>),
    /// The secret under a passphrase.
    Sealed(Sealed),
}

/// A secret under a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The work that turns the passphrase into a key.
    pub cost: Cost,
    /// Salt of Argon2id.
    pub salt: [u8; 16],
    /// Nonce of ChaCha20-Poly1305.
    pub nonce: [u8; 12],
    /// The encrypted secret and its tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// The header, its empty line included.
    pub fn header(&self) -> String {
        format!(
            "{NAME}{VERSION}\nprotection: argon2id chacha20poly1305\nargon2id: {} KiB, {} passes, {} lanes\n\
             salt: {}\nnonce: {}\n\n",
            self.cost.memory_kib,
            self.cost.passes,
            self.cost.lanes,
            hex(&self.salt),
            hex(&self.nonce),
        )
    }

    /// The whole file.
    pub fn to_text(&self) -> String {
        let mut text = self.header();
        for line in self.ciphertext.chunks(LINE_BYTES) {
            text.push_str(&hex(line));
            text.push('\n');
        }
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The file of a secret that its mode alone protects.
pub fn write_plain(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(PLAIN_HEADER.len() + secret.len() + 1));
    text.push_str(PLAIN_HEADER);
    text.push_str(secret);
    text.push('\n');
    text
}

/// Reads a secret file.
pub fn parse(bytes: &[u8]) -> Result<Content, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::NotASecretFile)?;
    let Some((version, _)) = text
        .strip_prefix(NAME)
        .and_then(|rest| rest.split_once('\n'))
    else {
        return match code::decode(text) {
            Ok(_) => Ok(Content::Plain(Zeroizing::new(text.trim_ascii().to_owned()))),
            Err(_) => Err(FormatError::NotASecretFile),
        };
    };
    if version != VERSION {
        return Err(FormatError::Version(version.chars().take(16).collect()));
    }
    if let Some(secret) = text.strip_prefix(PLAIN_HEADER) {
        let secret = secret.strip_suffix('\n').unwrap_or(secret);
        if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
            return Err(FormatError::Body);
        }
        return Ok(Content::Plain(Zeroizing::new(secret.to_owned())));
    }
    parse_sealed(text).map(Content::Sealed)
}

fn parse_sealed(text: &str) -> Result<Sealed, FormatError> {
    let (header, body) = text.split_once("\n\n").ok_or(FormatError::Header)?;
    let field = |name: &str| {
        header
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .ok_or(FormatError::Header)
    };
    let sealed = Sealed {
        cost: parse_cost(field("argon2id")?).ok_or(FormatError::Header)?,
        salt: parse_hex(field("salt")?).map_err(|_| FormatError::Header)?,
        nonce: parse_hex(field("nonce")?).map_err(|_| FormatError::Header)?,
        ciphertext: parse_body(body)?,
    };
    // Lines that were added, moved or written otherwise make another text.
    if sealed.to_text() != text {
        return Err(FormatError::Header);
    }
    Ok(sealed)
}

fn parse_cost(text: &str) -> Option<Cost> {
    let mut numbers = text
        .split(", ")
        .map(|part| part.split_once(' ')?.0.parse().ok());
    Some(Cost {
        memory_kib: numbers.next()??,
        passes: numbers.next()??,
        lanes: numbers.next()??,
    })
}

fn parse_body(body: &str) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::with_capacity(body.len() / 2);
    for line in body.lines() {
        if !line.len().is_multiple_of(2) || line.len() > 2 * LINE_BYTES || !line.is_ascii() {
            return Err(FormatError::Body);
        }
        for start in (0..line.len()).step_by(2) {
            let [byte] = parse_hex(&line[start..start + 2]).map_err(|_| FormatError::Body)?;
            bytes.push(byte);
        }
    }
    Ok(bytes)
}
