//! Vector files: written as JSON, compared byte for byte with what the code makes today.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_cbor::Value;

use crate::schema;

/// Set to rewrite the files instead of comparing them.
const WRITE: &str = "VOTENODE_WRITE_VECTORS";

/// The path of a vector file.
pub fn path(name: &str) -> PathBuf {
    schema::directory().join("vectors").join(name)
}

/// Compares a file of vectors with `content`, or rewrites it when asked to.
pub fn settle(name: &str, content: &serde_json::Value) {
    let mut text = serde_json::to_string_pretty(content).unwrap();
    text.push('\n');
    settle_bytes(name, text.as_bytes());
}

/// [`settle`], for a file that is not JSON.
pub fn settle_bytes(name: &str, content: &[u8]) {
    let path = path(name);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, content).unwrap();
        return;
    }
    let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        kept == content,
        "{} is not what the code makes. If the format was meant to change, run the tests once with {WRITE}=1 and look \
         at the difference",
        path.display()
    );
}

/// Lower-case hexadecimal.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The diagnostic notation of RFC 8949 §8.
pub fn diagnostic(bytes: &[u8]) -> String {
    let mut text = String::new();
    write_diagnostic(&serde_cbor::from_slice(bytes).unwrap(), &mut text);
    text
}

fn write_diagnostic(value: &Value, text: &mut String) {
    match value {
        Value::Integer(number) => write!(text, "{number}").unwrap(),
        Value::Bytes(bytes) => write!(text, "h'{}'", hex(bytes)).unwrap(),
        Value::Text(string) => text.push_str(&serde_json::to_string(string).unwrap()),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_diagnostic(item, text);
            }
            text.push(']');
        }
        other => panic!("{other:?} is outside the profile"),
    }
}
