//! The program's own commands, run as a person would run them, and small helps.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child::Process;
use super::error::DemoError;
use super::workspace::Workspace;

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(300);
/// Bytes at the end of a log in which its last line is looked for.
const TAIL_BYTES: u64 = 4096;

/// Runs a command of this program to its end and returns its exit code and the last line of its standard output.
pub async fn run(
    workspace: &Workspace,
    name: &str,
    arguments: impl FnOnce(&mut Command),
) -> Result<(Option<i32>, String), DemoError> {
    let output = workspace.root().join(format!("{name}.json"));
    let log = workspace.create(&workspace.log(name))?;
    let standard_output = Stdio::from(workspace.create(&output)?);
    let arguments = |command: &mut Command| {
        arguments(command.arg("--config").arg(workspace.config()));
    };
    let mut process = Process::start(name, arguments, standard_output, log)?;
    let deadline = tokio::time::Instant::now() + COMMAND_TIME;
    let status = process
        .wait(deadline)
        .await
        .ok_or_else(|| DemoError::not_seen(format!("votenode {name} does not end")))?;
    let text = std::fs::read_to_string(&output)
        .map_err(|error| DemoError::file("read", &output, &error))?;
    Ok((
        status.code(),
        text.lines().last().unwrap_or_default().to_owned(),
    ))
}

/// The last line of a log that says something.
pub fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}
