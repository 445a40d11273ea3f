//! `votenode key`, and reading the keys that other commands use.

use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::json;
use zeroize::Zeroizing;

use super::args::KeyCommand;
use super::output::print_either;
use super::{Exit, Failure};
use crate::crypto::secret_file::{self, Cost, Existing, Protection, SecretFileError};
use crate::crypto::{CodeError, Kind, Role, RoleKey, code};

/// Runs `votenode key`.
pub fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::New {
            role,
            out,
            passphrase,
            json,
        } => {
            let key = RoleKey::generate(role).map_err(Failure::failed)?;
            write_secret(&out, &key.to_text(), passphrase)?;
            let hint = match role {
                Role::Organiser => {
                    "Give the public key to whoever makes the network (votenode network new --organiser)."
                }
                Role::Finaliser => {
                    "Give the public key to whoever makes the network (votenode network new --finaliser)."
                }
                Role::Trustee | Role::Miner => "Give the public key to whoever opens the election.",
            };
            print_either(
                json,
                &json!({ "role": role.to_string(), "public_key": key.public().to_string(), "file": out }),
                &format!(
                    "{}\n\nThe secret is in {} (mode 0600): keep it, and keep a copy of it elsewhere.\n{hint}\n",
                    key.public(),
                    out.display()
                ),
            )
        }
        KeyCommand::Show { file, json } => {
            let text = read_secret(&file)?;
            let key = parse_any(&text).map_err(|error| bad_key(&file, &error))?;
            print_either(
                json,
                &json!({ "role": key.role().to_string(), "public_key": key.public().to_string() }),
                &format!("{}\n", key.public()),
            )
        }
    }
}

/// Reads the key of a role from its file; asks for the passphrase on the terminal if there is one.
pub fn read_key(path: &Path, role: Role) -> Result<RoleKey, Failure> {
    let text = read_secret(path)?;
    RoleKey::parse(role, &text).map_err(|error| bad_key(path, &error))
}

/// Reads what a secret file holds.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let file = secret_file::read(path).map_err(secret_failure)?;
    let passphrase = if file.is_sealed() {
        Some(ask(&format!("Passphrase of {}: ", path.display()))?)
    } else {
        None
    };
    file.open(passphrase.as_ref().map(|text| text.as_str()))
        .map_err(secret_failure)
}

/// Writes a secret into a new file of mode 0600, under a passphrase if that is asked for.
pub fn write_secret(path: &Path, secret: &str, passphrase: bool) -> Result<(), Failure> {
    let passphrase = if passphrase {
        let first = ask("New passphrase: ")?;
        if *ask("The same again: ")? != *first {
            return Err(Failure::usage(
                "the two passphrases differ; nothing was written",
            ));
        }
        Some(first)
    } else {
        None
    };
    let protection = match &passphrase {
        Some(passphrase) => Protection::Passphrase {
            passphrase,
            cost: Cost::DEFAULT,
        },
        None => Protection::ModeOnly,
    };
    secret_file::write(path, secret, protection, Existing::Keep).map_err(secret_failure)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "a passphrase is needed, and there is no terminal to ask for it on",
        ));
    }
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| Failure::failed(format!("cannot read the passphrase: {error}")))
}

fn parse_any(text: &str) -> Result<RoleKey, CodeError> {
    match code::decode(text)?.0 {
        Kind::Secret(role) => RoleKey::parse(role, text),
        got => Err(CodeError::WrongKind {
            got,
            wanted: Kind::Secret(Role::Organiser),
        }),
    }
}

fn bad_key(path: &Path, error: &CodeError) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

fn secret_failure(error: SecretFileError) -> Failure {
    let exit = match &error {
        SecretFileError::Io {
            path,
            source,
            action,
        } => {
            return Failure::file(action, path, source);
        }
        SecretFileError::Random(_) => Exit::Failed,
        _ => Exit::Usage,
    };
    Failure::new(exit, error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_read_for_its_role_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ada.key");
        let key = RoleKey::generate(Role::Organiser).unwrap();
        write_secret(&path, &key.to_text(), false).unwrap();
        assert_eq!(
            read_key(&path, Role::Organiser).unwrap().public(),
            key.public()
        );
        let wrong = read_key(&path, Role::Finaliser).unwrap_err();
        assert_eq!(wrong.exit, Exit::Usage);
        assert!(
            wrong.message.contains("an organiser's secret key"),
            "{wrong}"
        );
        let again = write_secret(&path, &key.to_text(), false).unwrap_err();
        assert!(again.message.contains("exists already"), "{again}");
    }

    #[test]
    fn garbage_and_missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no.key");
        assert_eq!(read_secret(&path).unwrap_err().exit, Exit::Failed);
        std::fs::write(&path, "hello").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let failure = read_secret(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("no.key"));
    }
}
