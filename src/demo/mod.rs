//! `votenode demo`: a whole election on this machine, with real processes, and every claim about it checked.
//!
//! Nodes are processes of this very program with the flags that anybody would use; voters are held by client processes
//! that join through bootstrap addresses and gossip. One node is cut off, handed votes, killed and brought back. Where
//! nodes finalise, so many of them are killed that nothing becomes final until they are back. At the end the chain is exported and audited by the commands of that name.
//!
//! | file | holds |
//! |---|---|
//! | `story` | what happens, in order, and what has to be seen |
//! | `cluster`, `watch`, `meter` | the node processes, what they say of themselves, how long blocks take to be final |
//! | `crowd`, `orders`, `voters` | the client processes from outside, the lines between, and from inside |
//! | `child`, `workspace` | processes and files that end with the demo, however it ends |
//! | `view`, `outcome` | what a person and a program see |
//!
//! It knows the program's own commands and control socket and the client's session; it must not know a node's insides.

mod child;
mod cluster;
mod crowd;
mod error;
mod meter;
mod orders;
mod outcome;
mod story;
mod tools;
mod view;
mod voters;
mod watch;
mod workspace;

use std::path::PathBuf;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use votenode_p2p::Multiaddr;

pub use child::end_with_parent;
pub use error::{DemoError, Problem};
pub use outcome::Outcome;

use story::Story;
use view::View;
use workspace::Workspace;

/// Most nodes: each is a process with a thread per core.
pub const MAX_NODES: u32 = 16;
/// Most voters; the processes that hold them share the machine with the nodes.
pub const MAX_VOTERS: u32 = 20_000;
/// Fewest voters: some vote once, some twice, some at the node that is killed.
pub const MIN_VOTERS: u32 = 8;

/// `votenode demo`
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArguments {
    /// Nodes, each a process of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=MAX_NODES as i64))]
    pub nodes: u32,
    /// Voters, who all register at the same moment
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(MIN_VOTERS as i64..=MAX_VOTERS as i64))]
    pub voters: u32,
    /// Nodes that finalise, the first ones; no more than there are nodes. Four or more bear the loss of one
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=MAX_NODES as i64))]
    pub finalisers: u32,
    /// Keep the directory with the nodes' data, their logs and the exported chain
    #[arg(long)]
    pub keep: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub json: bool,
}

/// `votenode demo-voters`: a client process of the demo. Orders come on stdin, reports go to stdout, a line of JSON
/// each.
#[derive(Clone, Debug, clap::Args)]
pub struct VotersArguments {
    /// Genesis file of the network
    #[arg(long = "genesis", value_name = "FILE")]
    pub genesis: PathBuf,
    /// Address of a node
    #[arg(long = "through", value_name = "ADDR", required = true)]
    pub bootstrap: Vec<Multiaddr>,
    /// Voters that this process holds
    #[arg(long, value_name = "N")]
    pub voters: usize,
}

/// Runs the demo.
pub fn run(arguments: &DemoArguments) -> Result<(), DemoError> {
    if arguments.finalisers > arguments.nodes {
        return Err(DemoError::usage(format!(
            "{} nodes cannot hold {} finalisers: give --nodes a number as large as that of --finalisers",
            arguments.nodes, arguments.finalisers
        )));
    }
    let runtime =
        Runtime::new().map_err(|error| DemoError::machine("start the runtime", &error))?;
    runtime.block_on(conduct(arguments))
}

/// Runs a client process of the demo until its orders end.
pub fn run_voters(arguments: &VotersArguments) -> Result<(), DemoError> {
    let runtime =
        Runtime::new().map_err(|error| DemoError::machine("start the runtime", &error))?;
    runtime.block_on(voters::serve(arguments))
}

async fn conduct(arguments: &DemoArguments) -> Result<(), DemoError> {
    let begun = Instant::now();
    let view = View::new(arguments.json, arguments.nodes as usize);
    let mut workspace = Workspace::make(arguments.keep)?;
    let ended = {
        let mut story = Story::new(arguments, &workspace, &view)?;
        tokio::select! {
            outcome = story.run() => outcome,
            error = interrupted() => Err(error),
        }
        // The story's end is the end of every process that it started.
    };
    match ended {
        Ok(mut outcome) => {
            outcome.seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
            outcome.directory = arguments.keep.then(|| workspace.root().to_owned());
            view.finish(&outcome);
            if arguments.json {
                outcome::print_json(&outcome)?;
            }
            Ok(())
        }
        Err(mut error) => {
            view.abandon();
            if error.problem != Problem::Interrupted {
                workspace.keep();
            }
            if workspace.is_kept() {
                error.directory = Some(workspace.root().to_owned());
            }
            Err(error)
        }
    }
}

/// Waits for Ctrl-C or another request to end.
async fn interrupted() -> DemoError {
    let listen =
        |kind| signal(kind).map_err(|error| DemoError::machine("listen for signals", &error));
    let streams = (
        listen(SignalKind::interrupt()),
        listen(SignalKind::terminate()),
        listen(SignalKind::hangup()),
    );
    let (mut interrupt, mut terminate, mut hangup) = match streams {
        (Ok(interrupt), Ok(terminate), Ok(hangup)) => (interrupt, terminate, hangup),
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => return error,
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    DemoError::interrupted()
}
