//! Running a test in namespaces of its own: network, mounts and processes.
//!
//! The test's process starts itself once more under `unshare`. Whatever the inner one makes (bridges, hosts, mounts,
//! processes) is seen by nobody else and goes away with it, even after SIGKILL; two runs at once never meet.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Set in the inner process.
const INSIDE: &str = "VOTENODE_TEST_INSIDE";

/// Set where skipping counts as failing, as `.ci/run` does for root.
pub const NO_SKIP: &str = "VOTENODE_TESTS_NO_SKIP";

const NAMESPACES: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
const AS_ROOT: [&str; 2] = ["--user", "--map-root-user"];

/// What the inner process does first, and what tells whether a machine can do it.
const PREPARE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && \
                       ip netns add probe && ip netns del probe";

/// Runs `body` in namespaces of its own, as root of them. `name` is the name of the test, as the test runner shows it.
///
/// Where that is not possible, says so on stderr whatever the test runner captures, and does nothing else.
pub fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    match unshare() {
        Ok(flags) => again(name, flags),
        Err(reason) => skip(
            name,
            &format!(
                "it makes network namespaces, for which it needs Linux with iproute2 and root or user namespaces: {reason}"
            ),
        ),
    }
}

fn again(name: &str, flags: &[&str]) {
    let myself = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c"])
        .arg(format!("{PREPARE} && exec \"$@\""))
        .arg("sh")
        .arg(myself)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // Indented, so that nobody takes the inner run's summary for the outer one's.
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in stdout.lines().chain(stderr.lines()) {
        println!("  | {line}");
    }
    let ran = stdout.contains(" 1 passed;");
    assert!(
        output.status.success() && ran,
        "{name}, in namespaces of its own: {}",
        output.status
    );
}

/// The flags of `unshare` that work here, or why none do.
fn unshare() -> &'static Result<Vec<&'static str>, String> {
    static FLAGS: OnceLock<Result<Vec<&'static str>, String>> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let mut reasons = String::new();
        for flags in [NAMESPACES.to_vec(), [&AS_ROOT[..], &NAMESPACES].concat()] {
            let tried = Command::new("unshare")
                .args(&flags)
                .args(["sh", "-c", PREPARE])
                .stdin(Stdio::null())
                .output();
            match tried {
                Ok(output) if output.status.success() => return Ok(flags),
                Ok(output) => reasons.push_str(&String::from_utf8_lossy(&output.stderr)),
                Err(error) => reasons = format!("unshare: {error}"),
            }
        }
        Err(reasons.trim().replace('\n', "; "))
    })
}

/// Says that a test cannot run here, on stderr whatever the test runner captures; where tests may not be skipped, fails.
pub fn skip(name: &str, reason: &str) {
    assert!(
        std::env::var_os(NO_SKIP).is_none(),
        "{name} was not to be skipped: {reason}"
    );
    // Written to the descriptor, because the test runner hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {name}: {reason}");
}
