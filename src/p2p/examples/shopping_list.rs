//! A shopping list that a household shares without a server.
//!
//! In one terminal:
//!
//! ```text
//! cargo run -p votenode-p2p --example shopping_list
//! ```
//!
//! It prints the line to type in a second terminal (and a third, …), of this form:
//!
//! ```text
//! cargo run -p votenode-p2p --example shopping_list -- /ip4/127.0.0.1/tcp/40123
//! ```
//!
//! Then type `add milk`, `got milk`, `list` or `quit` in any of them. Lists that were apart merge when they meet.
//! Everything stays on this machine; `--lan` as the first argument listens on all interfaces and finds others on the
//! local network by multicast DNS, without any address.
//!
//! Changes travel by gossip, each checked before it is passed on. Whoever connects asks the other for its whole list
//! by request-response, because gossip alone never makes up for what was missed.

use std::collections::BTreeMap;
use std::error::Error;

use tokio::sync::mpsc;
use votenode_p2p::{
    Config, Event, Events, Handle, Keypair, ProtocolConfig, TopicConfig, Verdict, spawn,
};

const CHANGES: &str = "/shopping/changes/1";
const WHOLE: &str = "/shopping/whole/1";
const MAX_ITEM_BYTES: usize = 100;
const MAX_ITEMS: usize = 1000;

/// Item → how often it was changed, and whether it is wanted. Merging takes the entry changed more often, of two
/// equal ones the wanted one, so every household arrives at the same list in whatever order changes come.
#[derive(Default)]
struct List(BTreeMap<String, (u32, bool)>);

impl List {
    /// One line of text per item: `3 + milk`.
    fn line(item: &str, (count, wanted): (u32, bool)) -> String {
        format!("{count} {} {item}\n", if wanted { '+' } else { '-' })
    }

    fn parse(line: &str) -> Option<(String, (u32, bool))> {
        let mut parts = line.splitn(3, ' ');
        let count = parts.next()?.parse().ok()?;
        let wanted = match parts.next()? {
            "+" => true,
            "-" => false,
            _ => return None,
        };
        let item = parts.next()?;
        let fine =
            !item.is_empty() && item.len() <= MAX_ITEM_BYTES && !item.contains(char::is_control);
        fine.then(|| (item.to_owned(), (count, wanted)))
    }

    fn encode(&self) -> Vec<u8> {
        let lines = self.0.iter().map(|(item, entry)| Self::line(item, *entry));
        lines.collect::<String>().into_bytes()
    }

    /// Merges encoded entries; `None` if any is malformed, otherwise whether something changed.
    fn merge(&mut self, bytes: &[u8]) -> Option<bool> {
        let text = std::str::from_utf8(bytes).ok()?;
        let entries: Option<Vec<_>> = text.lines().map(Self::parse).collect();
        let mut changed = false;
        for (item, entry) in entries? {
            if self.0.len() >= MAX_ITEMS && !self.0.contains_key(&item) {
                continue;
            }
            let mine = self.0.entry(item).or_insert((0, false));
            if entry > *mine {
                *mine = entry;
                changed = true;
            }
        }
        Some(changed)
    }

    fn print(&self) {
        let wanted: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, entry)| entry.1)
            .map(|(item, _)| item.as_str())
            .collect();
        println!(
            "list: {}",
            if wanted.is_empty() {
                "(empty)".into()
            } else {
                wanted.join(", ")
            }
        );
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let lan = args.first().is_some_and(|arg| arg == "--lan");
    if lan {
        args.remove(0);
    }
    let host = if lan { "0.0.0.0" } else { "127.0.0.1" };
    let config = Config {
        listen: vec![format!("/ip4/{host}/tcp/0").parse()?],
        bootstrap: args
            .iter()
            .map(|arg| arg.parse())
            .collect::<Result<_, _>>()?,
        mdns: lan,
        kad_protocol: "/shopping/kad/1".into(),
        agent: "shopping-list/1".into(),
        required_protocols: vec![WHOLE.into()],
        topics: vec![TopicConfig::new(CHANGES, MAX_ITEM_BYTES + 32)],
        protocols: vec![ProtocolConfig::new(
            WHOLE,
            0,
            MAX_ITEMS * (MAX_ITEM_BYTES + 32),
        )],
        ..Config::default()
    };
    let (handle, mut events) = spawn(Keypair::generate(), config).await?;
    println!("This is {}", handle.local_peer());
    if let Some(addr) = handle.snapshot().await?.listening.first() {
        println!("To share this list, type in another terminal:");
        println!("  cargo run -p votenode-p2p --example shopping_list -- {addr}");
    }
    println!("Commands: add ITEM, got ITEM, list, quit");

    let mut list = List::default();
    let mut lines = read_lines();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref().map(str::trim) {
                None | Some("quit") => break,
                Some(line) => command(&handle, &mut list, line)?,
            },
            event = events.next() => match event {
                Some(event) => on_event(&handle, &mut list, event)?,
                None => break,
            },
        }
    }
    handle.shutdown().await;
    drain(&mut events).await
}

/// The terminal, line by line, from a thread that may block.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn command(handle: &Handle, list: &mut List, line: &str) -> Result<(), Box<dyn Error>> {
    let (verb, item) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "list" => list.print(),
        "add" | "got" => {
            let count = list.0.get(item).map_or(0, |entry| entry.0);
            let change = List::line(item, (count.saturating_add(1), verb == "add"));
            if list.merge(change.as_bytes()).is_none() {
                println!("an item is 1 to {MAX_ITEM_BYTES} bytes of text");
                return Ok(());
            }
            // Without peers the change waits for a minute, and whoever comes later asks for the whole list.
            handle.publish_tagged(0, CHANGES, change.into_bytes())?;
            list.print();
        }
        "" => {}
        _ => println!("commands: add ITEM, got ITEM, list, quit"),
    }
    Ok(())
}

fn on_event(handle: &Handle, list: &mut List, event: Event) -> Result<(), Box<dyn Error>> {
    match event {
        Event::Identified { peer, .. } => {
            println!("{peer} is here");
            handle.request_tagged(0, peer, WHOLE, Vec::new())?;
        }
        Event::Disconnected { peer } => println!("{peer} left"),
        Event::Request { id, .. } => handle.respond(id, list.encode())?,
        Event::Response {
            result: Ok(whole), ..
        } if list.merge(&whole) == Some(true) => list.print(),
        Event::Gossip { id, from, data, .. } => {
            let merged = list.merge(&data);
            let verdict = match merged {
                Some(true) => Verdict::Accept,
                Some(false) => Verdict::Ignore,
                None => Verdict::Reject,
            };
            handle.report(id, from, verdict)?;
            if merged == Some(true) {
                list.print();
            }
        }
        Event::BootstrapFailed {
            addr,
            error,
            retry_in,
        } => {
            println!(
                "{addr} does not answer ({error}); trying again in {} s",
                retry_in.as_secs()
            );
        }
        Event::Warning { text } => println!("{text}"),
        _ => {}
    }
    Ok(())
}

/// What remains after the end is at most the reason for it.
async fn drain(events: &mut Events) -> Result<(), Box<dyn Error>> {
    while let Some(event) = events.next().await {
        if let Event::Stopped { error: Some(error) } = event {
            return Err(error.into());
        }
    }
    Ok(())
}
