//! A wall clock that can be set wrong for one process while it runs, by libfaketime.
//!
//! Network namespaces share the machine's clock, so a wrong one has to be told to the process. Only the wall clock is
//! off: the monotonic one, which timers go by, stays as it is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// How libfaketime gets into a process: a variable of its environment, as the program `faketime` sets it. The build of it
/// is the one for programs with threads.
#[derive(Clone)]
pub struct Preload {
    variable: String,
    value: String,
}

/// The library, or what is missing.
pub fn library() -> Result<Preload, String> {
    let missing = "no libfaketime here (Debian has it in faketime)";
    let told = Command::new("faketime")
        .args(["-m", "-f", "+0s", "env"])
        .output();
    let told = told.map_err(|error| format!("{missing}: {error}"))?;
    let variables = String::from_utf8_lossy(&told.stdout);
    variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(_, value)| value.contains("libfaketime"))
        .map(|(variable, value)| Preload {
            variable: variable.to_owned(),
            value: value.to_owned(),
        })
        .ok_or_else(|| missing.to_owned())
}

/// The clock of one process: a file that says how far it is off.
pub struct Clock {
    library: Preload,
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right, told by a file that is made.
    pub fn new(library: Preload, file: PathBuf) -> Self {
        let clock = Self { library, file };
        clock.set(0);
        clock
    }

    /// Sets it off by so many seconds; the process notices within about a second.
    pub fn set(&self, seconds: i64) {
        // Replaced at once: a file that is half written would be no time at all.
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        fs::rename(&fresh, &self.file).unwrap();
    }

    /// What a process has to be started with to go by it.
    pub fn variables(&self) -> Vec<(String, String)> {
        let Preload { variable, value } = &self.library;
        let file = self.file.to_str().unwrap();
        [
            (variable.as_str(), value.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            // Shared memory would outlive a process that is killed.
            ("FAKETIME_DISABLE_SHM", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}
