//! The audit against its limit, how it grows, and its memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::fixture::{Fixture, transactions};
use super::limit::Work;
use super::machine;
use super::{Bound, Options, Report};

/// How long audit and limit run in turn.
const SLICE: Duration = Duration::from_millis(1_000);
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(10);

/// A whole audit of a chain file.
pub struct Audited {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
}

struct Running {
    child: Child,
    audited: Audited,
}

impl Running {
    /// Starts an audit, and stops it before it does anything much.
    fn start(path: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_votenode"))
            .arg("audit")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            audited: Audited {
                wall_seconds: 0.0,
                cpu_seconds: 0.0,
                peak_bytes: 0,
            },
        }
    }

    /// Lets it run for so long, or to its end. Says whether it has ended.
    fn run(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            let id = self.child.id();
            self.audited.cpu_seconds = machine::cpu_seconds(id).max(self.audited.cpu_seconds);
            self.audited.peak_bytes = machine::memory(id, "VmHWM")
                .unwrap_or(0)
                .max(self.audited.peak_bytes);
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || start.elapsed() >= time {
                self.audited.wall_seconds += start.elapsed().as_secs_f64();
                assert!(
                    ended.is_none_or(|status| status.success()),
                    "the audit failed"
                );
                return ended.is_some();
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Audits a file.
pub fn audit(path: &Path) -> Audited {
    let mut running = Running::start(path);
    while !running.run(Duration::from_secs(3600)) {}
    running.audited
}

/// `audit_vs_limit`: both run in turn for a second each, so that whatever else the machine does hits both alike.
pub fn against_limit(fixture: &Fixture, options: &Options, report: &mut Report) {
    let count = options.transactions;
    let path = fixture.chain_file(count, count / 2);
    let work = Work::of(&fixture.network, &transactions(&path));
    let form = work.best_form();
    let (mut limit_wall, mut done) = (0.0, 0);
    let own = std::process::id();
    let mut limit_cpu = 0.0;
    let mut running = Running::start(&path);
    let mut ended = false;
    while !ended || done < work.len() {
        if !ended {
            ended = running.run(SLICE);
            if !ended {
                machine::signal(&running.child, "STOP");
            }
        }
        let (start, cpu) = (Instant::now(), machine::cpu_seconds(own));
        done += work.slice(form, done, SLICE);
        limit_wall += start.elapsed().as_secs_f64();
        limit_cpu += machine::cpu_seconds(own) - cpu;
        if !ended {
            machine::signal(&running.child, "CONT");
        }
    }
    let Audited {
        wall_seconds,
        cpu_seconds,
        peak_bytes,
    } = running.audited;
    eprintln!(
        "  audit {wall_seconds:.2} s, {cpu_seconds:.2} CPU s; limit {limit_wall:.2} s, {limit_cpu:.2} CPU s, for {} \
         operations; by CPU {:.3}",
        work.len(),
        limit_cpu / cpu_seconds
    );
    report.figure(
        "audit_vs_limit",
        limit_wall / wall_seconds,
        "ratio",
        Bound::AtLeast(0.85),
    );
    report.note(
        "audit_transactions_per_second",
        count as f64 / wall_seconds,
        "1/s",
    );
    report.note(
        "limit_transactions_per_second",
        count as f64 / limit_wall,
        "1/s",
    );
    report.figure(
        "audit_peak_mb",
        peak_bytes as f64 / 1e6,
        "MB",
        Bound::AtMost(400.0),
    );
}

/// `audit_growth`: ten times the transactions over the time of a tenth, in turn, medians of several runs of each.
pub fn growth(fixture: &Fixture, options: &Options, report: &mut Report) {
    let count = options.transactions;
    let large = fixture.chain_file(count, count / 2);
    let small = fixture.chain_file(count / 10, count / 20);
    let (mut one, mut ten) = (Vec::new(), Vec::new());
    for _ in 0..options.repeats {
        ten.push(audit(&large).cpu_seconds);
        for _ in 0..3 {
            one.push(audit(&small).cpu_seconds);
        }
    }
    let growth = super::median(&mut ten) / super::median(&mut one) / 10.0;
    report.figure("audit_growth", growth, "ratio", Bound::AtMost(1.05));
}
