//! Opening a file that somebody named.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a regular file for reading. Opening anything else may wait without end, as a pipe does for its writer; only
/// what this process has open already (`/dev/stdin`, `/dev/fd/63`) and `/dev/null` do not.
pub fn open(path: &Path) -> io::Result<File> {
    if !is_open_already(path) && path != Path::new("/dev/null") && !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    File::open(path)
}

/// Whether the path names a file descriptor of this process.
fn is_open_already(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_a_writer_is_an_error_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe.as_path(), dir.path()] {
            let error = open(path).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        open(&file).unwrap();
        open(Path::new("/dev/null")).unwrap();
        assert_eq!(
            open(&dir.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
