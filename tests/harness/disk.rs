//! A small disk of its own (a tmpfs), which can be filled to the last byte.
//!
//! Only for use inside [`super::isolate::isolated`]: mounts are seen by nobody else.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk mounted on a directory; unmounted when dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts an empty disk on a directory that is there already. The size is as `mount` takes it: `64m`.
    pub fn mount(at: &Path, size: &str) -> Self {
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        run(mount);
        Self { at: at.to_owned() }
    }

    /// Leaves no room on it.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        // Smaller and smaller pieces, so that the last byte goes too.
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![0xaa; size];
            loop {
                match ballast.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{}: {error}", self.at.display()),
                }
            }
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has files open on it keeps them.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(mut command: Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
