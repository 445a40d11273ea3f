//! Processes that end when the demo ends, however it ends.
//!
//! Each holds the reading end of a pipe as its standard input and ends when nobody holds the other end any more, which
//! the kernel sees to even if the demo is killed. Each is in a process group of its own, so that Ctrl-C reaches the demo
//! alone and the demo decides.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::DemoError;

/// A variable for processes that the demo starts: end when standard input does.
const ATTACHED: &str = "VOTENODE_DEMO_ATTACHED";

/// How often it is looked whether a process has ended. There is no event for that without a signal handler.
const LOOK: Duration = Duration::from_millis(20);

/// In a process that the demo started as a node: ends it when the demo is gone. Elsewhere it does nothing.
///
/// The process ends at once: what a node acknowledged is on disk, and nobody is left to wait for it.
pub fn end_with_parent() {
    if std::env::var_os(ATTACHED).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut input = std::io::stdin();
        let mut buffer = [0; 64];
        while !matches!(input.read(&mut buffer), Ok(0) | Err(_)) {}
        std::process::exit(1);
    });
}

/// A process of the demo. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// What it is called.
    pub name: String,
    child: Child,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts this very program with these arguments. Its log goes to a file.
    pub fn start(
        name: &str,
        arguments: impl FnOnce(&mut Command),
        output: Stdio,
        log: File,
    ) -> Result<Self, DemoError> {
        let failed = |error| DemoError::machine(&format!("start {name}"), &error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        arguments(&mut command);
        clean_environment(&mut command);
        let mut child = command
            .env(ATTACHED, "1")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            input: child.stdin.take(),
            child,
        })
    }

    /// The writing end of its standard input. Whoever takes it keeps the process alive.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// The reading end of its standard output, if that was piped.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends by itself; `None` if it has not by the deadline.
    pub async fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    /// Ends it with SIGKILL, which no process can catch, and waits until it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, DemoError> {
        let failed = |error| DemoError::machine(&format!("kill {}", self.name), &error);
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes out of a command's environment what configures a user's own node.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VOTENODE_") {
            command.env_remove(name);
        }
    }
}
