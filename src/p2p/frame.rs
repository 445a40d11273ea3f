//! Framing of request-response messages: one request and one response per stream.
//!
//! ```text
//! dialler  → listener   u32 big-endian length ‖ that many bytes, then end of stream
//! listener → dialler    u32 big-endian length ‖ that many bytes, then end of stream
//! ```
//!
//! A listener that refuses ends the stream without a length. The length is checked against the protocol's limit
//! before anything is allocated, and the buffer then grows as bytes arrive: who claims eight megabytes and sends ten
//! bytes costs ten bytes. Truncated and over-long messages are errors, and so is anything after the message.

use std::io;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes of the length prefix.
pub(crate) const PREFIX_BYTES: usize = 4;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The stream ended before the first byte.
    #[error("nothing was sent")]
    Empty,
    /// The announced length exceeds the limit.
    #[error("announced {len} bytes, the limit is {max}")]
    TooLong {
        /// Announced bytes.
        len: usize,
        /// Allowed bytes.
        max: usize,
    },
    /// The stream ended inside the message.
    #[error("the stream ended inside the message")]
    Truncated,
    /// There was more after the message.
    #[error("more bytes follow the message")]
    Trailing,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one message of at most `max` bytes and the end of the stream.
pub(crate) async fn read_frame<R>(io: &mut R, max: usize) -> Result<Vec<u8>, FrameError>
where
    R: AsyncRead + Unpin,
{
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    (&mut *io)
        .take(PREFIX_BYTES as u64)
        .read_to_end(&mut prefix)
        .await?;
    let prefix: [u8; PREFIX_BYTES] = match prefix.try_into() {
        Ok(prefix) => prefix,
        Err(short) if short.is_empty() => return Err(FrameError::Empty),
        Err(_) => return Err(FrameError::Truncated),
    };
    let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    let data = read_up_to(io, len).await?;
    if data.len() < len {
        return Err(FrameError::Truncated);
    }
    if io.read(&mut [0; 1]).await? != 0 {
        return Err(FrameError::Trailing);
    }
    Ok(data)
}

/// Reads `len` bytes, or fewer if the stream ends; the buffer is never much larger than what has arrived.
async fn read_up_to<R>(io: &mut R, len: usize) -> io::Result<Vec<u8>>
where
    R: AsyncRead + Unpin,
{
    let mut data = Vec::new();
    io.take(len as u64).read_to_end(&mut data).await?;
    Ok(data)
}

/// Writes one message and ends the stream's writing half.
pub(crate) async fn write_frame<W>(io: &mut W, data: &[u8]) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    io.write_all(&prefix_of(data)?).await?;
    io.write_all(data).await?;
    io.close().await
}

/// Whether a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it.
    Whole,
    /// Not all: a piece took too long.
    TooSlowly,
}

/// [`write_frame`] for whom nobody waits without end: each piece of so many bytes has to be taken in time.
pub(crate) async fn write_in_pieces<W>(
    io: &mut W,
    data: &[u8],
    piece_bytes: usize,
    time: Duration,
) -> io::Result<Taken>
where
    W: AsyncWrite + Unpin,
{
    io.write_all(&prefix_of(data)?).await?;
    for piece in data.chunks(piece_bytes) {
        match timeout(time, io.write_all(piece)).await {
            Ok(written) => written?,
            Err(_) => return Ok(Taken::TooSlowly),
        }
    }
    io.close().await?;
    Ok(Taken::Whole)
}

fn prefix_of(data: &[u8]) -> io::Result<[u8; PREFIX_BYTES]> {
    let len = u32::try_from(data.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "message above 4 GiB"))?;
    Ok(len.to_be_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn read(bytes: &[u8], max: usize) -> Result<Vec<u8>, FrameError> {
        block_on(read_frame(&mut Cursor::new(bytes), max))
    }

    #[test]
    fn what_is_written_is_read() {
        for data in [&b""[..], b"x", &[7; 70_000]] {
            let mut io = Cursor::new(Vec::new());
            block_on(write_frame(&mut io, data)).unwrap();
            assert_eq!(read(io.get_ref(), data.len()).unwrap(), data);
        }
    }

    /// Takes so many bytes and no more.
    struct Window(usize);

    impl AsyncWrite for Window {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            match taken {
                0 => Poll::Pending,
                taken => Poll::Ready(Ok(taken)),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn whoever_does_not_read_is_not_waited_for() {
        let data = [7; 70_000];
        let time = Duration::from_millis(10);
        let taken = write_in_pieces(&mut Window(10_000), &data, 1_000, time).await;
        assert_eq!(taken.unwrap(), Taken::TooSlowly);
        let mut io = Cursor::new(Vec::new());
        let taken = write_in_pieces(&mut io, &data, 1_000, Duration::MAX).await;
        assert_eq!(taken.unwrap(), Taken::Whole);
        assert_eq!(read(io.get_ref(), data.len()).unwrap(), data);
    }

    #[test]
    fn broken_messages_are_errors() {
        assert!(matches!(read(b"", 9), Err(FrameError::Empty)));
        assert!(matches!(read(b"\0\0", 9), Err(FrameError::Truncated)));
        assert!(matches!(
            read(b"\0\0\0\x02a", 9),
            Err(FrameError::Truncated)
        ));
        assert!(matches!(
            read(b"\0\0\0\x01ab", 9),
            Err(FrameError::Trailing)
        ));
        assert!(matches!(
            read(b"\xff\xff\xff\xff", 9),
            Err(FrameError::TooLong {
                len: 0xffff_ffff,
                max: 9
            })
        ));
    }

    #[test]
    fn a_large_claim_allocates_nothing() {
        let mut claim = (8u32 * 1024 * 1024).to_be_bytes().to_vec();
        claim.extend([1; 10]);
        let data = block_on(read_up_to(&mut Cursor::new(&claim[4..]), 8 * 1024 * 1024)).unwrap();
        assert!(data.capacity() < 4096, "{} bytes reserved", data.capacity());
        assert!(matches!(
            read(&claim, 16 * 1024 * 1024),
            Err(FrameError::Truncated)
        ));
    }
}
