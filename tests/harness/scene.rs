//! What one test plays in: a temporary directory, homes for hosts and people, and the logs of every process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use votenode::chain::genesis::Finaliser;
use votenode::crypto::{Hash, Role, RoleKey};
use votenode::genesis::{self, Parameters};
use votenode::wire::Text;

use super::process::{Ended, Process};
use super::program;

/// Lines of each log that are shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A directory with homes and logs. Shows the logs when the test fails.
pub struct Scene {
    dir: tempfile::TempDir,
    runs: AtomicUsize,
}

/// A network for tests: blocks come often and cost little, registering is nearly free.
pub fn quick(name: &str) -> Parameters {
    Parameters {
        name: name.to_owned(),
        // One hash in 4,096.
        target: Some(Hash::from_bytes(std::array::from_fn(|byte| match byte {
            0 => 0,
            1 => 0x0f,
            _ => 0xff,
        }))),
        open_stamp_bits: Some(4),
        ..Parameters::demo()
    }
}

/// Where a process runs: on this machine's loopback, or on a host of a LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Here,
    /// In the network namespace of this name.
    Host(String),
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("votenode-test-")
            .tempdir()
            .unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        Self {
            dir,
            runs: AtomicUsize::new(0),
        }
    }

    /// A path in the scene's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the scene's directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file that only its owner may read.
    pub fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(name, content);
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A HOME of this name, made if it is not there.
    pub fn home(&self, name: &str) -> PathBuf {
        let home = self.path(&format!("home-{name}"));
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    /// Gives a second HOME the voter file of a first.
    pub fn copy_voter(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.home(name).join(".local/share/votenode"));
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(from.join("voter"), to.join("voter")).unwrap();
    }

    /// Writes the genesis file of a network.
    pub fn network(&self, name: &str, parameters: Parameters) -> PathBuf {
        let path = self.path(&format!("{name}.toml"));
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let genesis = parameters.build(now_ms.try_into().unwrap()).unwrap();
        genesis::write(&path, &genesis).unwrap();
        path
    }

    /// Writes the genesis file of a network that so many finalise, and the files of their keys.
    pub fn finalising(&self, name: &str, finalisers: usize) -> (PathBuf, Vec<PathBuf>) {
        let mut parameters = quick(name);
        let mut files = Vec::new();
        for number in 1..=finalisers {
            let key = RoleKey::generate(Role::Finaliser).unwrap();
            parameters.finalisers.push(Finaliser {
                key: key.public().key(),
                power: 1,
                name: Text::new(&format!("finaliser{number}")).unwrap(),
            });
            files.push(self.secret(&format!("{name}-finaliser{number}.key"), &key.to_text()));
        }
        (self.network(name, parameters), files)
    }

    /// Writes an election file with the options Ada, Grace and Mary.
    pub fn election(&self, title: &str, more: &str) -> PathBuf {
        let text = format!(
            "title = \"{title}\"\nquestion = \"Who?\"\noptions = [\"Ada\", \"Grace\", \"Mary\"]\n{more}\n"
        );
        self.file(&format!("{title}.election.toml"), text)
    }

    /// `votenode` or `ballot` in a place, with a HOME and nothing else of this process's environment.
    pub fn command(&self, place: &Place, home: &str, name: &str) -> Command {
        let mut command = match place {
            Place::Here => Command::new(program(name)),
            Place::Host(host) => {
                let mut enter = Command::new("nsenter");
                enter
                    .arg(format!("--net=/run/netns/{host}"))
                    .arg(program(name));
                enter
            }
        };
        let home = self.home(home);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("RUST_BACKTRACE", "1")
            .current_dir(&home)
            .env("HOME", home);
        command
    }

    /// Starts a command in the background.
    pub fn start(&self, command: Command, name: &str) -> Process {
        self.start_with_stdin(command, name, Stdio::null())
    }

    /// Starts a command that minds whether its standard input ends.
    pub fn start_with_stdin(&self, command: Command, name: &str, stdin: Stdio) -> Process {
        Process::start(command, &self.path("logs"), name, stdin)
    }

    /// Runs a command to its end.
    pub fn run(&self, command: Command) -> Ended {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let program = Path::new(command.get_program())
            .file_name()
            .unwrap()
            .to_owned();
        let name = format!("run-{run:03}-{}", program.to_string_lossy());
        self.start(command, &name).wait()
    }

    /// Runs `votenode` with a HOME to its end.
    pub fn votenode(&self, home: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(&Place::Here, home, "votenode");
        command.args(arguments);
        self.run(command).sober()
    }

    fn show_logs(&self) {
        let mut logs: Vec<PathBuf> = std::fs::read_dir(self.path("logs"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        logs.sort();
        for log in logs {
            let text = std::fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            println!("==== {name}: the last of {} lines", lines.len());
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                println!("{line}");
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}
