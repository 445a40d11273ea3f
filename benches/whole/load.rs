//! The load generator: a process of its own that gossips transactions as it is told.
//!
//! It reads numbers from its standard input, a line each, and publishes so many further messages; then it says how many
//! it has published in all. It ends with its input.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use votenode::chain::network::Network;
use votenode::chain::transaction::Transaction;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::names::Topic;
use votenode::wire::{self, List};
use votenode_p2p::PublishError;

use super::peer::Peer;

/// The argument by which the program knows that it is to be a load generator.
pub const ARGUMENT: &str = "--load";
/// Transactions of a message: what a node coalesces under load fits into one.
const REGISTRATIONS: usize = 128;
const VOTES: usize = 256;
/// Before a message that found no room is tried again.
const PAUSE: Duration = Duration::from_millis(2);

/// Gossip messages in order. `counts` are the transactions in each.
pub struct Load {
    pub counts: Vec<usize>,
    file: tempfile::NamedTempFile,
}

impl Load {
    /// Puts registrations and then votes into messages.
    pub fn new(registrations: &[Transaction], votes: &[Transaction]) -> Self {
        let mut file = tempfile::NamedTempFile::new_in(super::fixture::directory()).unwrap();
        let mut counts = Vec::new();
        let kinds = [
            (Topic::Registration, registrations, REGISTRATIONS),
            (Topic::Vote, votes, VOTES),
        ];
        for (topic, transactions, size) in kinds {
            for part in transactions.chunks(size) {
                let batch = TransactionBatch {
                    transactions: List::new(part.to_vec()).unwrap(),
                };
                let bytes = wire::encode(&batch);
                file.write_all(&[topic as u8]).unwrap();
                file.write_all(&(bytes.len() as u32).to_be_bytes()).unwrap();
                file.write_all(&bytes).unwrap();
                counts.push(part.len());
            }
        }
        file.flush().unwrap();
        Self { counts, file }
    }
}

/// A running load generator.
pub struct Generator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    /// Starts one that is connected with the node at this address and knows its topics.
    pub fn start(genesis: &Path, address: &str, load: &Load) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .args([genesis, Path::new(address), load.file.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut generator = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        // It says so when it is connected.
        generator.said();
        generator
    }

    /// Has it publish so many further messages. Gives how many were published in all.
    pub fn publish(&mut self, count: usize) -> usize {
        writeln!(self.input, "{count}").unwrap();
        self.said()
    }

    fn said(&mut self) -> usize {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim()
            .parse()
            .expect("the load generator failed; see above")
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the load generator, to the end of its input.
pub fn generate(arguments: &[String]) {
    let [genesis, address, file] = arguments else {
        panic!("a genesis, an address and a file")
    };
    let network = Network::new(votenode::genesis::read(Path::new(genesis)).unwrap()).unwrap();
    let bytes = fs::read(file).unwrap();
    let mut messages = Vec::new();
    let mut rest = bytes.as_slice();
    while let [topic, a, b, c, d, tail @ ..] = rest {
        let (message, tail) = tail.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        let topic = Topic::ALL[usize::from(*topic)].full_name(&network.id());
        messages.push((topic, message.to_vec()));
        rest = tail;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let peer = Peer::connect(&network, address, &[]).await;
        println!("0");
        let mut messages = messages.into_iter();
        let mut published = 0;
        for line in std::io::stdin().lock().lines() {
            let Ok(count) = line.unwrap_or_default().parse::<usize>() else {
                break;
            };
            for (topic, message) in messages.by_ref().take(count) {
                loop {
                    match peer.handle.publish(&topic, message.clone()).await {
                        Ok(_) => break,
                        Err(PublishError::Duplicate) => panic!("a message was published before"),
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
                published += 1;
            }
            // What was published has to leave before the next order is waited for.
            peer.settle().await;
            println!("{published}");
        }
        peer.handle.shutdown().await;
    });
}
