//! A person with a HOME of their own who uses `ballot`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::process::{Ended, Process};
use super::scene::{Place, Scene};
use super::{DEADLINE, until};

/// A person. The name is also that of the HOME.
#[derive(Clone)]
pub struct Voter<'s> {
    scene: &'s Scene,
    place: Place,
    name: String,
    variables: Vec<(&'static str, String)>,
}

impl<'s> Voter<'s> {
    /// Somebody who knows nothing and gives no flags.
    pub fn bare(scene: &'s Scene, place: Place, name: &str) -> Self {
        Self {
            scene,
            place,
            name: name.to_owned(),
            variables: Vec::new(),
        }
    }

    /// Somebody on this machine who has a genesis file and a node's address.
    pub fn on_loopback(scene: &'s Scene, name: &str, network: &Path, node: &str) -> Self {
        let mut voter = Self::bare(scene, Place::Here, name).with(network, node);
        voter
            .variables
            .push(("VOTENODE_NO_MDNS", "true".to_owned()));
        voter
    }

    /// The same person with a genesis file and a node's address.
    pub fn with(mut self, network: &Path, node: &str) -> Self {
        self.variables.extend([
            ("VOTENODE_NETWORK", network.to_str().unwrap().to_owned()),
            ("VOTENODE_BOOTSTRAP", node.to_owned()),
        ]);
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.command(&self.place, &self.name, "ballot");
        // Nothing on a busy machine is given up earlier than the test itself.
        command
            .env("VOTENODE_TIMEOUT", DEADLINE.as_secs().to_string())
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .args(arguments);
        command
    }

    /// Runs `ballot` to its end, whatever that is.
    pub fn try_to(&self, arguments: &[&str]) -> Ended {
        self.scene.run(self.command(arguments)).sober()
    }

    /// Runs `ballot` with `--json`, to a good end, and returns what it printed.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.scene.run(self.command(&arguments)).expect(0).json()
    }

    /// Starts `ballot` and goes on.
    pub fn begins(&self, arguments: &[&str]) -> Process {
        let name = format!("{}-{}", self.name, arguments[0]);
        self.scene.start(self.command(arguments), &name)
    }

    /// Opens the election that the file describes, and returns its id.
    pub fn opens(&self, file: &Path, closes_in: &str) -> String {
        let opened = self.does(&["open", file.to_str().unwrap(), "--closes-in", closes_in]);
        opened["election"].as_str().unwrap().to_owned()
    }

    /// Waits until the election's closing block is there, and returns the result.
    pub fn waits_for_result(&self, election: &str) -> Value {
        until("the result", || {
            let result = self.does(&["results", election]);
            match result["phase"].as_str() {
                Some("provisional" | "final") => Ok(result),
                _ => Err(result.to_string()),
            }
        })
    }

    /// The voter file.
    pub fn voter_file(&self) -> PathBuf {
        self.scene
            .home(&self.name)
            .join(".local/share/votenode/voter")
    }
}

/// The total of each option that has any, by its text.
pub fn totals(result: &Value) -> Vec<(String, u64)> {
    let options = result["totals"].as_array().unwrap();
    options
        .iter()
        .map(|option| {
            let text = option["option"].as_str().unwrap().to_owned();
            (text, option["total"].as_u64().unwrap())
        })
        .filter(|(_, total)| *total > 0)
        .collect()
}
