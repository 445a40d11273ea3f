//! The configuration file: TOML whose keys are the names of the flags with `_` for `-`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Layer;

/// Longest configuration file, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is too long, or not text.
    #[error("{} is not a configuration file: {what}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A key that no setting has.
    #[error("{}:{line}: unknown key '{key}'{}", path.display(), suggestion(.nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// Not TOML, or a value that its setting cannot have.
    #[error("{}: {source}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|key| format!(", did you mean '{key}'?"))
        .unwrap_or_default()
}

/// Reads the settings in a file.
pub fn read(path: &Path) -> Result<Layer, FileError> {
    let read_error = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    crate::files::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(read_error)?;
    let not_text = |what| FileError::NotText {
        path: path.to_owned(),
        what,
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(not_text("it is longer than 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text("it is not UTF-8 text"))?;
    parse(path, &text)
}

/// Reads the settings in the text of a file.
pub fn parse(path: &Path, text: &str) -> Result<Layer, FileError> {
    let value_error = |source| FileError::Value {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let table = toml::de::DeTable::parse(text).map_err(value_error)?;
    let known = Layer::keys();
    for key in table.get_ref().keys() {
        let name: &str = key.get_ref().as_ref();
        if !known.iter().any(|known| known == name) {
            return Err(FileError::UnknownKey {
                path: path.to_owned(),
                line: text[..key.span().start].matches('\n').count() + 1,
                key: name.chars().take(80).collect(),
                nearest: nearest(name, &known).map(str::to_owned),
            });
        }
    }
    toml::from_str(text).map_err(value_error)
}

/// The known name that is most like `name`, if any is much like it.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    // Long names are garbage; comparing them would cost their product.
    if name.len() > 80 {
        return None;
    }
    let dashed = name.replace('-', "_").to_ascii_lowercase();
    known
        .iter()
        .map(|known| (distance(&dashed, known), known.as_str()))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
