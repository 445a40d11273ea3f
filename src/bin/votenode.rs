//! `votenode`: a node of the network, and the operator's tools. Arguments in, exit codes out.

use std::process::ExitCode;

fn main() -> ExitCode {
    votenode::cli::main().into()
}
