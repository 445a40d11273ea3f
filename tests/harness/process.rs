//! A process whose output goes to files, with an end that can be waited for.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::until;

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or a negative number for the signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts `command`; its output goes to `NAME.out` and `NAME.err` in `logs`, after what is there already.
    pub fn start(mut command: Command, logs: &Path, name: &str, stdin: Stdio) -> Self {
        let [stdout, stderr] = ["out", "err"].map(|end| logs.join(format!("{name}.{end}")));
        let open = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap()
        };
        let child = command
            .stdin(stdin)
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Types a line into its terminal.
    pub fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Waits until stdout says this.
    pub fn until_shows(&self, words: &str) {
        until(&format!("'{words}'"), || {
            let said = self.stdout();
            said.contains(words).then_some(()).ok_or(said)
        });
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(code)
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name])
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success(), "SIG{name} was not sent");
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Ended {
        let code = until("a process to end", || {
            self.ended().ok_or_else(|| self.stderr())
        });
        Ended {
            code,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .or(status.signal().map(|signal| -signal))
        .unwrap()
}

impl Ended {
    /// Asserts the exit code; what was said is shown if it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code; stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Asserts that stderr says this, in one line or several, and that the program did not panic.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        let flat = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains(words),
            "stderr does not say '{words}': {}",
            self.stderr
        );
        self.sober()
    }

    /// Asserts that stdout says this.
    #[track_caller]
    pub fn shows(self, words: &str) -> Self {
        assert!(
            self.stdout.contains(words),
            "stdout does not say '{words}': {}",
            self.stdout
        );
        self
    }

    /// Asserts that this is no crash.
    #[track_caller]
    pub fn sober(self) -> Self {
        assert!(
            !self.stderr.contains("panicked at") && self.code >= 0 && self.code != 101,
            "a crash ({}): {}",
            self.code,
            self.stderr
        );
        self
    }

    /// The last line of stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}
