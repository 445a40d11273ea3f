//! The program `ballot`: what is typed, what is shown, and the voter's files in between.
//!
//! A command is a function from its arguments to an [`Outcome`] or a [`Failure`]; printing and exit codes are the same
//! for all of them. What travels and what is proved is the business of the modules below.

pub mod args;
pub mod cast;
pub mod context;
pub mod elections;
pub mod failure;
pub mod output;
pub mod receipts;
pub mod status;
pub mod transact;
pub mod voter;

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::client::command::args::{Cli, Command};
use crate::client::command::context::Context;
use crate::client::command::failure::Failure;
use crate::client::command::output::Outcome;
use crate::client::exit::Exit;
use crate::crypto::code::redact;

/// How long a command that is interrupted may take to end in order.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a command line to its end and prints what came of it.
pub async fn run(cli: Cli) -> Exit {
    let as_json = cli.global.json;
    // A task of its own, since a command may sit in a read of standard input that never ends.
    tokio::spawn(async move {
        interrupted().await;
        tokio::time::sleep(LAST_WORDS).await;
        if std::io::stdin().is_terminal() {
            // A code may have been typed unseen.
            let _ = std::process::Command::new("stty").arg("echo").status();
        }
        let exit = print(as_json, Vec::new(), Err(interruption()));
        std::process::exit(exit.code().into());
    });
    let mut context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(failure) => return print(as_json, Vec::new(), Err(failure)),
    };
    let result = tokio::select! {
        result = dispatch(&mut context, cli.command) => result,
        () = interrupted() => Err(interruption()),
    };
    context.rest();
    print(as_json, std::mem::take(&mut context.notes), result)
}

async fn dispatch(context: &mut Context, command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Register(args) => voter::register(context, args).await,
        Command::Elections(args) => elections::elections(context, args).await,
        Command::Open(args) => elections::open(context, args).await,
        Command::Cast(args) => cast::cast(context, args).await,
        Command::Status => status::status(context).await,
        Command::Receipt(args) => receipts::receipts(context, args.command).await,
        Command::Results(args) => elections::results(context, args).await,
        Command::Submit(args) => transact::submit(context, args).await,
        Command::Voter(args) => voter::voter(context, args.command),
    }
}

fn interruption() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

/// Returns at Ctrl-C or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the program by themselves.
        _ => std::future::pending().await,
    }
}

fn print(as_json: bool, notes: Vec<String>, result: Result<Outcome, Failure>) -> Exit {
    use std::io::Write as _;
    let (exit, text, mut json) = match result {
        Ok(outcome) => (outcome.exit, Some(outcome.text), outcome.json),
        Err(failure) => {
            // Something secret may have been typed in the wrong place.
            let message = redact(&failure.message);
            eprintln!("ballot: {message}");
            let error = json!({ "message": message });
            let json = Map::from_iter([("error".to_owned(), error)]);
            (failure.exit, None, json)
        }
    };
    let line = if as_json {
        json.insert("exit".into(), json!(exit.name()));
        json.insert("exit_code".into(), json!(exit.code()));
        json.insert("notes".into(), json!(notes));
        Some(Value::Object(json).to_string())
    } else {
        text
    };
    if let Some(line) = line {
        // A reader that went away (`| head`) is no failure of the command.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
    exit
}
