//! One pass over the bytes that admits only the canonical profile. It allocates nothing.

use super::{DecodeError, MAX_UINT};

/// Deepest nesting of arrays. The deepest message has eight levels.
const MAX_DEPTH: usize = 16;

/// Checks that `bytes` is exactly one item of the profile.
pub(super) fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    // Items still to come in each open array. Fixed size, so that depth cannot cost memory.
    let mut open = [0u64; MAX_DEPTH];
    let mut depth = 0;
    let mut at = 0;
    loop {
        let start = at;
        let error = |what| DecodeError::NotCanonical {
            offset: start,
            what,
        };
        let (major, value, next) = head(bytes, at)?;
        at = next;
        let remaining = (bytes.len() - at) as u64;
        match major {
            0 if value > MAX_UINT => return Err(error("integer above 2^53-1")),
            0 => {}
            2 | 3 => {
                if value > remaining {
                    return Err(error("string runs past the end"));
                }
                let end = at + value as usize;
                if major == 3 && std::str::from_utf8(&bytes[at..end]).is_err() {
                    return Err(error("text is not UTF-8"));
                }
                at = end;
            }
            4 => {
                // Every item takes a byte at least, so a count above the rest is a lie.
                if value > remaining {
                    return Err(error("array runs past the end"));
                }
                if depth == MAX_DEPTH {
                    return Err(error("nested too deeply"));
                }
                open[depth] = value;
                depth += 1;
            }
            1 => return Err(error("negative integer")),
            5 => return Err(error("map")),
            6 => return Err(error("tag")),
            _ => return Err(error("float or simple value")),
        }
        // An array that just opened is not an item of itself; whatever else ended is an item of the innermost array.
        if major != 4 && depth > 0 {
            open[depth - 1] -= 1;
        }
        while depth > 0 && open[depth - 1] == 0 {
            depth -= 1;
            if depth > 0 {
                open[depth - 1] -= 1;
            }
        }
        if depth == 0 {
            break;
        }
    }
    if at != bytes.len() {
        return Err(DecodeError::NotCanonical {
            offset: at,
            what: "bytes after the end",
        });
    }
    Ok(())
}

/// Reads an item's head: major type, argument, and the offset behind it.
fn head(bytes: &[u8], at: usize) -> Result<(u8, u64, usize), DecodeError> {
    let error = |what| DecodeError::NotCanonical { offset: at, what };
    let first = *bytes.get(at).ok_or(error("ends too early"))?;
    let (major, info) = (first >> 5, first & 0x1f);
    if major == 7 {
        return Err(error("float or simple value"));
    }
    let width = match info {
        0..=23 => return Ok((major, u64::from(info), at + 1)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        31 => return Err(error("indefinite length")),
        _ => return Err(error("reserved head")),
    };
    let argument = bytes
        .get(at + 1..at + 1 + width)
        .ok_or(error("ends too early"))?;
    let value = argument
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let smallest = match width {
        1 => 24,
        2 => 1 << 8,
        4 => 1 << 16,
        _ => 1 << 32,
    };
    if value < smallest {
        return Err(error("length or integer not in its shortest form"));
    }
    Ok((major, value, at + 1 + width))
}
