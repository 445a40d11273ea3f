//! The decoder of frames, for fuzzing.

use futures::FutureExt as _;
use futures::io::Cursor;

use crate::frame::{read_frame, write_frame};

/// Longest message that is taken, in bytes.
const MAX_BYTES: usize = 4 * 1024;

/// Whether the bytes are a frame. Panics unless that is the one which its message is written as.
pub fn frame(bytes: &[u8]) -> bool {
    let read = read_frame(&mut Cursor::new(bytes), MAX_BYTES).now_or_never();
    let read = read.expect("nothing is waited for");
    if let Ok(message) = &read {
        assert!(message.len() <= MAX_BYTES);
        let mut io = Cursor::new(Vec::new());
        let written = write_frame(&mut io, message).now_or_never();
        assert!(matches!(written, Some(Ok(()))));
        assert_eq!(io.get_ref(), bytes);
    }
    read.is_ok()
}
