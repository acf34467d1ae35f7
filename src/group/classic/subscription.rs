//! The topics in a consumer's subscription (`ConsumerProtocolSubscription`): the only part of what members
//! say to their leader that the coordinator looks into, so that offsets of topics in use are kept.

use bytes::{Buf, Bytes};

/// The topics, or `None` when the bytes are no subscription. Version 0 is a prefix of all versions.
pub(super) fn topics_of(metadata: &Bytes) -> Option<Vec<String>> {
    let mut metadata = metadata.clone();
    let version = metadata.try_get_i16().ok()?;
    if version < 0 {
        return None;
    }
    let count = usize::try_from(metadata.try_get_i32().ok()?).ok()?;
    if metadata.remaining() / 2 < count {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let len = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.remaining() < len {
            return None;
        }
        topics.push(String::from_utf8(metadata.split_to(len).to_vec()).ok()?);
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_broken_bytes_are_not() {
        let topics = |bytes: &'static [u8]| topics_of(&Bytes::from_static(bytes));
        let two = b"\0\x03\0\0\0\x02\0\x01a\0\x02bcrest of a later version";
        assert_eq!(topics(two), Some(vec!["a".to_owned(), "bc".to_owned()]));
        assert_eq!(topics(b"\0\0\0\0\0\0"), Some(Vec::new()));
        for broken in [&b""[..], b"\xff\xff\0\0\0\0", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x09a"] {
            assert_eq!(topics(broken), None);
        }
    }
}
