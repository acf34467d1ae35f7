//! Frames: every request and response is preceded by its length, four bytes, big-endian.

use super::WireError;

/// Bytes of the length before a frame.
pub const LENGTH_LEN: usize = 4;

/// What the front of a connection's bytes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameStatus {
    /// A whole frame: its contents are the bytes from [`LENGTH_LEN`] to `end`.
    Complete {
        /// Where the next frame begins.
        end: usize,
    },
    /// The start of a frame.
    Partial {
        /// How many bytes the frame, or its length, needs from the front on.
        needed: usize,
    },
}

/// Looks at the front of `bytes`. Allocates nothing, so the bound holds before memory is taken.
///
/// # Errors
/// `NegativeFrameLength` and `FrameTooLarge`: Kafka closes such a connection without an answer.
pub fn peek_frame(bytes: &[u8], frame_bytes_max: usize) -> Result<FrameStatus, WireError> {
    let Some(length) = bytes.first_chunk::<LENGTH_LEN>() else {
        return Ok(FrameStatus::Partial { needed: LENGTH_LEN });
    };
    let length = i32::from_be_bytes(*length);
    let length = usize::try_from(length).map_err(|_| WireError::NegativeFrameLength { found: length })?;
    if frame_bytes_max < length {
        return Err(WireError::FrameTooLarge { max: frame_bytes_max, found: length });
    }
    let end = LENGTH_LEN + length;
    if bytes.len() < end {
        return Ok(FrameStatus::Partial { needed: end });
    }
    Ok(FrameStatus::Complete { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_and_bounded() {
        let check = |bytes: &[u8], expected| assert_eq!(peek_frame(bytes, 10), expected, "{bytes:?}");
        check(&[], Ok(FrameStatus::Partial { needed: 4 }));
        check(&[0, 0, 0], Ok(FrameStatus::Partial { needed: 4 }));
        check(&[0, 0, 0, 0], Ok(FrameStatus::Complete { end: 4 }));
        check(&[0, 0, 0, 2, 9], Ok(FrameStatus::Partial { needed: 6 }));
        check(&[0, 0, 0, 2, 9, 9, 7, 7], Ok(FrameStatus::Complete { end: 6 }));
        check(&[0, 0, 0, 11], Err(WireError::FrameTooLarge { max: 10, found: 11 }));
        check(&[0xff; 4], Err(WireError::NegativeFrameLength { found: -1 }));
    }
}
