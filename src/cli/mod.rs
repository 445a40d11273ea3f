//! The commands of `votenode`.
//!
//! [`args`] says what can be asked for, the other modules do it: each takes its arguments, prints results on stdout
//! and ends well or with a [`Failure`] that carries an exit code. The rules of elections are none of their business.

mod archive;
pub mod args;
mod ask;
mod exit;
mod finaliser;
mod invite;
mod key;
mod network;
mod node;
mod output;

use std::borrow::Cow;
use std::io::Write as _;

use args::{Arguments, Command};
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::config::{ConfigError, Directories, FileError, Layer, Settings};
use crate::crypto::code::redact;
use crate::crypto::process::keep_memory_private;
use crate::datadir::DataPaths;
use crate::demo::{self, DemoError, Problem};
pub use exit::{Exit, Failure};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use invite::parse_codes;
pub use node::FINALISER_SECRET;

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::File(FileError::Read { path, source }) => {
                Self::file("read the configuration file", path, source)
            }
            _ => Self::usage(error.to_string().trim_end()),
        }
    }
}

/// Reads the command line and does what it asks for; failures are printed on stderr, and on stdout too where JSON is
/// wanted.
pub fn main() -> Exit {
    keep_memory_private();
    let parsed = Arguments::command().try_get_matches().and_then(|matches| {
        let json = wants_json(&matches);
        Ok((Arguments::from_arg_matches(&matches)?, json))
    });
    let (arguments, json) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return unparsed(&error),
    };
    match run(arguments) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            // stderr may be closed; the exit code says it too.
            let text = failure.to_string();
            let _ = writeln!(std::io::stderr(), "votenode: {}", redact(&text));
            if json {
                // So may stdout.
                let _ = output::print_json(&failure.to_json());
            }
            failure.exit
        }
    }
}

/// Whether the command has `--json`, and it was given.
fn wants_json(mut matches: &ArgMatches) -> bool {
    while let Some((_, command)) = matches.subcommand() {
        matches = command;
    }
    matches!(matches.try_get_one("json"), Ok(Some(true)))
}

/// Help and versions are results, everything else is a mistake. One in a variable would otherwise be blamed on a flag.
fn unparsed(error: &clap::Error) -> Exit {
    let text = error.to_string();
    let _ = match redact(&text) {
        Cow::Borrowed(_) => error.print(),
        Cow::Owned(text) => write!(std::io::stderr(), "{text}"),
    };
    if !error.use_stderr() {
        return Exit::Done;
    }
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && let Some(flag) = flag.split([' ', '=']).next()
        && let Some(name) = flag.strip_prefix("--")
        && let variable = format!("VOTENODE_{}", name.replace('-', "_").to_uppercase())
        && std::env::var_os(&variable).is_some()
        && !std::env::args().any(|given| given.split('=').next() == Some(flag))
    {
        let hint = format!("\nThe value comes from the environment variable {variable}.");
        let _ = writeln!(std::io::stderr(), "{hint}");
    }
    Exit::Usage
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        let exit = match error.problem {
            Problem::NotSeen | Problem::Machine => Exit::Failed,
            Problem::Usage => Exit::Usage,
            Problem::DiskFull => Exit::DiskFull,
            Problem::Interrupted => Exit::Interrupted,
        };
        Self::new(exit, error)
    }
}

/// Does what the arguments ask for; without a command, runs a node.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        settings: layer,
        config,
        command,
    } = arguments;
    // Client processes of a demo read their standard input themselves.
    if !matches!(command, Some(Command::DemoVoters(_))) {
        demo::end_with_parent();
    }
    let settings = || resolve(layer, config);
    let socket = |settings: &Settings| DataPaths::new(&settings.data_dir).control_socket();
    match command {
        None => node::run(settings()?),
        Some(Command::Demo(arguments)) => Ok(demo::run(&arguments)?),
        Some(Command::DemoVoters(arguments)) => Ok(demo::run_voters(&arguments)?),
        Some(Command::Network(command)) => network::run(command),
        Some(Command::Key(command)) => key::run(command),
        Some(Command::Finaliser(command)) => finaliser::run(command),
        Some(Command::Invite(arguments)) => invite::run(arguments, || Ok(socket(&settings()?))),
        Some(Command::Export(arguments)) => archive::export(&settings()?, &arguments),
        Some(Command::Import(arguments)) => archive::import(&settings()?, &arguments),
        Some(Command::Audit(arguments)) => archive::audit(&arguments),
        Some(Command::Status(arguments)) => ask::status(&socket(&settings()?), arguments.json),
        Some(Command::Peers(arguments)) => ask::peers(&socket(&settings()?), arguments.json),
        Some(Command::Ban(arguments)) => ask::ban(&socket(&settings()?), arguments),
        Some(Command::ReleasePin(arguments)) => {
            ask::release_pin(&socket(&settings()?), arguments.json)
        }
        Some(Command::Stop) => ask::stop(&socket(&settings()?)),
    }
}

fn resolve(layer: Layer, config: Option<std::path::PathBuf>) -> Result<Settings, Failure> {
    Ok(Settings::resolve(layer, config, &Directories::from_env())?)
}
