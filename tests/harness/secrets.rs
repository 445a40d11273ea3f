//! Looking for secrets in everything that processes wrote: whole or half, in every form that a program might give them.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use votenode::crypto::{Invitation, RoleKey, VoterId, code};

/// Shortest thing that is looked for, in bytes: shorter ones turn up by chance.
const SHORTEST: usize = 8;

/// A form of a secret.
struct Needle {
    secret: String,
    form: &'static str,
    bytes: Vec<u8>,
}

/// Secrets to look for, and the files where they belong.
#[derive(Default)]
pub struct Secrets {
    needles: Vec<Needle>,
    /// By their first bytes.
    index: HashMap<[u8; SHORTEST], Vec<usize>>,
    homes: Vec<PathBuf>,
}

impl Secrets {
    fn needle(&mut self, secret: &str, form: &'static str, bytes: &[u8]) {
        let start = bytes[..SHORTEST].try_into().unwrap();
        self.index
            .entry(start)
            .or_default()
            .push(self.needles.len());
        self.needles.push(Needle {
            secret: secret.to_owned(),
            form,
            bytes: bytes.to_vec(),
        });
    }

    /// Bytes of a key.
    pub fn bytes(&mut self, name: &str, secret: &[u8; 32]) {
        let hex = |upper| -> String {
            let digit = |byte: &u8| match upper {
                true => format!("{byte:02X}"),
                false => format!("{byte:02x}"),
            };
            secret.iter().map(digit).collect()
        };
        let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
        for half in [0..16, 16..32] {
            self.needle(name, "raw bytes", &secret[half.clone()]);
            let digits = 2 * half.start..2 * half.end;
            for upper in [false, true] {
                let hex = hex(upper);
                self.needle(name, "hexadecimal", &hex.as_bytes()[digits.clone()]);
            }
            for comma in [",", ", "] {
                let list = decimal[half.clone()].join(comma);
                self.needle(name, "a list of numbers", list.as_bytes());
            }
        }
        // In base64 a text depends on where the secret begins in what is encoded.
        for before in 0..3 {
            let padded = [&[0; 2][..before], secret].concat();
            for (alphabet, form) in [(*b"+/", "base64"), (*b"-_", "base64 for URLs")] {
                let text = base64(&padded, alphabet);
                let inner = &text[4..text.len() / 4 * 4 - 4];
                let (left, right) = inner.split_at(inner.len() / 2);
                self.needle(name, form, left.as_bytes());
                self.needle(name, form, right.as_bytes());
            }
        }
    }

    /// Something typed in, such as a passphrase or a code.
    pub fn text(&mut self, name: &str, secret: &str) {
        self.needle(name, "text", secret.as_bytes());
        self.needle(name, "text", secret.to_ascii_uppercase().as_bytes());
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.needle(name, "text in hexadecimal", hex.as_bytes());
        self.needle(
            name,
            "text in base64",
            &base64(secret.as_bytes(), *b"+/").as_bytes()[..SHORTEST],
        );
    }

    /// A bech32m code, whole and either half without its prefix.
    fn code(&mut self, name: &str, text: &str) {
        let (_, data) = text.rsplit_once('1').unwrap();
        let (left, right) = data.split_at(data.len() / 2);
        for half in [left, right] {
            self.needle(name, "code", half.as_bytes());
            self.needle(name, "code", half.to_ascii_uppercase().as_bytes());
        }
    }

    /// The key in a file that `votenode` made, which is the only place for it.
    pub fn role_key(&mut self, path: &Path) {
        let text = self.private(path);
        let code = last_line(&text);
        let (kind, bytes) = code::decode(code).unwrap();
        assert!(!matches!(kind, code::Kind::Public(_)));
        let name = format!("key of {}", path.display());
        self.bytes(&name, &bytes);
        self.code(&name, code);
    }

    /// A key of this kind.
    pub fn role(&mut self, name: &str, key: &RoleKey) {
        self.bytes(name, &key.signing_key().seed());
        self.code(name, &key.to_text());
    }

    /// The voter_id and the keys that are derived from it; `path` is the voter file.
    pub fn voter(&mut self, path: &Path, id: &VoterId) {
        self.private(path);
        let name = format!("voter_id of {}", path.display());
        let text = id.to_text();
        self.code(&name, &text);
        self.bytes(&name, &code::decode(&text).unwrap().1);
        self.bytes(&format!("{name}, signing key"), &id.signing_key().seed());
        let ring = id.ring_secret().scalar_bytes();
        self.bytes(&format!("{name}, ring secret"), &ring);
    }

    /// An invitation.
    pub fn invitation(&mut self, name: &str, text: &str) {
        let invitation: Invitation = text.parse().unwrap();
        self.bytes(name, &invitation.signing_key().seed());
        self.code(name, &invitation.to_text());
    }

    /// The libp2p key in a node's directory.
    pub fn node_key(&mut self, path: &Path) {
        let text = self.private(path);
        let digits = last_line(&text);
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        // A protobuf of type, length, and the secret followed by the public half.
        let secret: [u8; 32] = bytes[4..36].try_into().unwrap();
        assert_eq!(bytes.len(), 68);
        self.bytes(&format!("key of {}", path.display()), &secret);
    }

    /// A file that may hold secrets, and that nobody but its owner may reach. Returns its text.
    pub fn private(&mut self, path: &Path) -> String {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        self.homes.push(path.canonicalize().unwrap());
        std::fs::read_to_string(path).unwrap()
    }

    /// How many secrets are looked for, each in several forms.
    pub fn len(&self) -> usize {
        let names: std::collections::BTreeSet<_> =
            self.needles.iter().map(|needle| &needle.secret).collect();
        names.len()
    }

    /// The secrets that are in these bytes, and in which form.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, start) in bytes.windows(SHORTEST).enumerate() {
            let Some(numbers) = self.index.get(start) else {
                continue;
            };
            for needle in numbers.iter().map(|number| &self.needles[*number]) {
                if bytes[at..].starts_with(&needle.bytes) {
                    found.push(format!(
                        "{} as {}, at byte {at}",
                        needle.secret, needle.form
                    ));
                }
            }
        }
        found
    }

    /// Looks through every file below `root` but those where secrets belong. Gives what was found and how many bytes
    /// were looked at.
    pub fn found_below(&self, root: &Path) -> (Vec<String>, usize) {
        let (mut found, mut looked) = (Vec::new(), 0);
        let mut folders = vec![root.canonicalize().unwrap()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                for what in self.found_in(path.as_os_str().as_encoded_bytes()) {
                    found.push(format!("the name of {}: {what}", path.display()));
                }
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && !self.homes.contains(&path) {
                    let bytes = std::fs::read(&path).unwrap();
                    looked += bytes.len();
                    let here = self.found_in(&bytes);
                    found.extend(
                        here.iter()
                            .map(|what| format!("{}: {what}", path.display())),
                    );
                }
            }
        }
        (found, looked)
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap().trim()
}

/// Base64 with these two characters for 62 and 63, and without padding.
pub fn base64(bytes: &[u8], last: [u8; 2]) -> String {
    let digit = |value: u32| match value as u8 {
        value @ 0..26 => (b'A' + value) as char,
        value @ 26..52 => (b'a' + value - 26) as char,
        value @ 52..62 => (b'0' + value - 52) as char,
        value => last[usize::from(value) - 62] as char,
    };
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| {
            group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for place in 0..=chunk.len() {
            text.push(digit(group >> (18 - 6 * place) & 63));
        }
    }
    text
}
