//! `ballot`: arguments in, exit code out.

use std::process::ExitCode;

use clap::FromArgMatches as _;
use tracing_subscriber::EnvFilter;
use votenode::client::command::{self, args};
use votenode::client::exit::Exit;

fn main() -> ExitCode {
    votenode::crypto::process::keep_memory_private();
    let cli = args::command()
        .try_get_matches()
        .and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        // Help and version go to standard output and end with 0, mistakes to standard error and end with 2.
        Err(error) => {
            let text = error.to_string();
            if let std::borrow::Cow::Owned(text) = votenode::crypto::code::redact(&text) {
                eprint!("{text}");
                return ExitCode::from(Exit::Usage.code());
            }
            error.exit()
        }
    };
    let filter =
        EnvFilter::try_from_env("VOTENODE_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ballot: the runtime cannot be started: {error}");
            return ExitCode::from(Exit::Failed.code());
        }
    };
    let exit = runtime.block_on(command::run(cli));
    // Work on other threads (a stamp after Ctrl-C) is not waited for.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}
