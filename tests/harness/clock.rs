//! A wall clock that can be set wrong for one process while it runs, by libfaketime.
//!
//! Network namespaces share the machine's clock, so a wrong one has to be told to the process. Only the wall clock is
//! off: the monotonic one, which timers go by, stays as it is.

use std::fs;
use std::path::PathBuf;

/// Where distributions put the library. This build of it is for programs with threads.
const PLACES: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// The library, or what is missing.
pub fn library() -> Result<PathBuf, String> {
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| "no libfaketime here (Debian has it in faketime)".to_owned())
}

/// The clock of one process: a file that says how far it is off.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right, told by a file that is made.
    pub fn new(library: PathBuf, file: PathBuf) -> Self {
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
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file)),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Shared memory would outlive a process that is killed.
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }
}
