//! The figures of the whole: `cargo bench --bench whole`, or `just bench`.
//!
//! Prints a line per figure, `name value unit`; what else there is to say goes to stderr. Each speed is a ratio of two
//! things measured in the same run. Words choose figures by parts of their names, `--transactions N` the size:
//!
//!     cargo bench --bench whole -- audit --transactions 100000
//!
//! Under `cargo test` every figure is taken once at the smallest size, so that nothing here falls into disrepair.

#![allow(clippy::unwrap_used)]

mod audit;
mod fixture;
mod idle;
mod ingest;
mod limit;
mod load;
mod machine;
mod mining;
mod network;
mod node;
mod overload;
mod peer;
mod sync;

use std::process::ExitCode;

use fixture::Fixture;

/// How large and how often.
pub struct Options {
    /// Transactions of the chain that most figures are taken on.
    pub transactions: usize,
    /// Repetitions where medians are taken.
    pub repeats: usize,
    /// Whether the values mean something: not under `cargo test`.
    pub full: bool,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

/// Figures as they are taken.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Prints a figure that has to be something.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, bound: Bound) {
        let (met, words) = match bound {
            Bound::AtLeast(least) => (value >= least, format!("at least {least}")),
            Bound::AtMost(most) => (value <= most, format!("at most {most}")),
        };
        self.note(name, value, unit);
        if !met {
            self.missed
                .push(format!("{name} is {value:.3} {unit}, not {words}"));
        }
    }

    /// Prints one that is for information.
    pub fn note(&mut self, name: &str, value: f64, unit: &str) {
        println!("{name} {} {unit}", rounded(value));
    }
}

/// Four significant digits, which is more than a machine repeats.
fn rounded(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", digits.clamp(0, 6) as usize)
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A group of figures that are taken together, by the names that choose it.
struct Group {
    names: &'static str,
    take: fn(&Options, &mut Report),
}

const GROUPS: &[Group] = &[
    Group {
        names: "audit_vs_limit audit_peak_mb",
        take: |options, report| audit::against_limit(&Fixture::read(), options, report),
    },
    Group {
        names: "audit_growth",
        take: |options, report| audit::growth(&Fixture::read(), options, report),
    },
    Group {
        names: "sync_vs_audit disk_over_encoded startup_ms startup_after_kill_ms",
        take: |options, report| sync::catch_up(&Fixture::read(), options, report),
    },
    Group {
        names: "ingest_vs_limit ingest_four_vs_limit",
        take: ingest::against_limit,
    },
    Group {
        names: "hashrate_vs_limit",
        take: mining::against_limit,
    },
    Group {
        names: "concurrent_registrations",
        take: network::registrations,
    },
    Group {
        names: "propagation_p99_ms cast_to_included_p95_ms",
        take: network::latency,
    },
    Group {
        names: "idle_rss_mb idle_cpu_percent",
        take: idle::empty,
    },
    Group {
        names: "rss_bytes_per_voter",
        take: idle::per_voter,
    },
    Group {
        names: "overload",
        take: overload::tenfold,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = arguments.as_slice()
        && first == load::ARGUMENT
    {
        load::generate(rest);
        return ExitCode::SUCCESS;
    }
    let mut words = Vec::new();
    let full = std::env::args().any(|argument| argument == "--bench");
    let (transactions, repeats) = if full { (1_000_000, 3) } else { (2_000, 1) };
    let mut options = Options {
        transactions,
        repeats,
        full,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--transactions" {
            let value = arguments.next().and_then(|value| value.parse().ok());
            let Some(value) = value.filter(|value| *value >= 1_000) else {
                eprintln!("--transactions needs a number from 1000 on");
                return ExitCode::from(2);
            };
            options.transactions = value;
        } else if !argument.starts_with("--") {
            words.push(argument);
        }
    }
    eprintln!("on {}", machine::describe());
    let mut report = Report::default();
    for group in GROUPS {
        if words.is_empty() || words.iter().any(|word| group.names.contains(word.as_str())) {
            (group.take)(&options, &mut report);
        }
    }
    for missed in &report.missed {
        eprintln!("NOT MET: {missed}");
    }
    // At the smallest size, and on whatever machine the tests run, the values mean nothing.
    if options.full && !report.missed.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
