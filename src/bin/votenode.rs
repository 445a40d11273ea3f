//! `votenode`: a node of the network, and the operator's tools. Arguments in, exit codes out.

use std::process::ExitCode;

use clap::Parser as _;
use votenode::cli::args::Arguments;
use votenode::cli::{self, Exit};

fn main() -> ExitCode {
    match cli::run(Arguments::parse()) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            eprintln!("votenode: {failure}");
            failure.exit.into()
        }
    }
}
