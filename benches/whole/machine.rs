//! What the system tells of processes and of the machine (Linux).

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

/// Clock ticks of `/proc` a second, the same on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process took so far, all its threads together.
pub fn cpu_seconds(process: u32) -> f64 {
    stat_seconds(&format!("/proc/{process}/stat"))
}

/// Seconds of processor time of those threads of a process that have this name.
pub fn thread_seconds(process: u32, name: &str) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0.0;
    };
    let named = threads.flatten().filter(|thread| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    named
        .map(|thread| stat_seconds(&thread.path().join("stat").to_string_lossy()))
        .sum()
}

fn stat_seconds(path: &str) -> f64 {
    let Ok(stat) = fs::read_to_string(path) else {
        return 0.0;
    };
    // The name, which may hold anything, ends with the last parenthesis; user and system time are the 14th and 15th.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

/// Seconds of processor time that the calling thread took so far, to the nanosecond.
pub fn own_thread_seconds() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told
        .split(' ')
        .next()
        .and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

/// A value of `/proc/PID/status` in bytes; none once the process has ended.
pub fn memory(process: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "SIG{name} was not sent");
}

/// Bytes that the files of a directory take on disk.
pub fn allocated(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = fs::read_dir(directory).unwrap().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.blocks() * 512)
        .sum()
}

/// Processor, cores and memory in a line.
pub fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let value = |text: &str, key: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        line.split(':')
            .nth(1)
            .unwrap_or("unknown")
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, {}, Linux {}",
        value(&cpu, "model name"),
        value(&memory, "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}
