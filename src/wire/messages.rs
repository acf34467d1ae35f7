//! The generated messages of `kafka-protocol`, with decoding that is safe on a stranger's bytes.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::StrBytes;

use super::WireError;
use super::api::ApiRow;
use super::guarded::{GuardedBytes, Pass};
use super::header::{encode_response_header, response_header_len};

/// The longest message that [`decode`] takes. A decoded message takes up to some thirty times the memory
/// of its bytes: an empty string is one byte on the wire and 32 in memory.
///
/// Differs from Kafka, which decodes whatever `socket.request.max.bytes` lets in. Produce and Fetch, the
/// large ones, have decoders of their own.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Decodes a message's body. Bytes behind it are ignored, as Kafka does.
///
/// Never panics, and allocates no more than in proportion to the bytes: see `wire::guarded` for how, and
/// the fuzz target `request_frame` for the proof. Byte fields above 256 KiB are refused in versions
/// without compact lengths.
///
/// # Errors
/// `MessageTooLarge` above [`MESSAGE_BYTES_MAX`], `Malformed` for everything else.
pub fn decode<T: Decodable>(bytes: Bytes, version: i16) -> Result<T, WireError> {
    if MESSAGE_BYTES_MAX < bytes.len() {
        return Err(WireError::MessageTooLarge { max: MESSAGE_BYTES_MAX, found: bytes.len() });
    }
    let mut checked = GuardedBytes::new(bytes.clone(), Pass::Check);
    let message = T::decode(&mut checked, version).map_err(malformed)?;
    if !checked.is_altered() {
        return Ok(message);
    }
    drop(message);
    T::decode(&mut GuardedBytes::new(bytes, Pass::Read), version).map_err(malformed)
}

/// Appends a message's body.
///
/// # Errors
/// `Unencodable` when a field is set that the version does not have.
pub fn encode<T: Encodable>(message: &T, version: i16, out: &mut BytesMut) -> Result<(), WireError> {
    message
        .encode(out, version)
        .map_err(|error| WireError::Unencodable { version, detail: format!("{error:#}") })
}

/// A whole response frame: length, header, body.
///
/// # Errors
/// `Unencodable` when a field is set that the version does not have.
pub fn encode_response<T: Encodable>(
    api: &ApiRow,
    version: i16,
    correlation_id: i32,
    body: &T,
) -> Result<Bytes, WireError> {
    let body_len = body
        .compute_size(version)
        .map_err(|error| WireError::Unencodable { version, detail: format!("{error:#}") })?;
    let frame_len = response_header_len(api, version) + body_len;
    let mut out = BytesMut::with_capacity(4 + frame_len);
    out.put_i32(i32::try_from(frame_len).expect("no response of ours reaches 2 GiB"));
    encode_response_header(&mut out, api, version, correlation_id);
    encode(body, version, &mut out)?;
    assert_eq!(out.len(), 4 + frame_len, "the computed size is the encoded size");
    Ok(out.freeze())
}

fn malformed(error: impl std::fmt::Display) -> WireError {
    WireError::malformed(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api;

    fn encoded<T: Encodable>(message: &T, version: i16) -> Bytes {
        let mut out = BytesMut::new();
        encode(message, version, &mut out).unwrap();
        out.freeze()
    }

    #[test]
    fn large_numbers_and_long_fields_survive_the_guard() {
        let request = CreateTopicsRequest::default().with_timeout_ms(i32::MAX);
        for version in 2..=7 {
            assert_eq!(decode(encoded(&request, version), version), Ok(request.clone()), "v{version}");
        }
        let protocol = join_group_request::JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(vec![7; 1 << 20].into());
        let request = JoinGroupRequest::default()
            .with_session_timeout_ms(1_800_000)
            .with_rebalance_timeout_ms(300_000)
            .with_protocols(vec![protocol]);
        assert_eq!(decode(encoded(&request, 9), 9), Ok(request));
    }

    #[test]
    fn claimed_arrays_are_not_allocated() {
        for (version, bytes) in
            [(1, &[0x7f, 0xff, 0xff, 0xff][..]), (9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0])]
        {
            let mut bytes = bytes.to_vec();
            bytes.resize(2_000_000, 0);
            let result = decode::<MetadataRequest>(bytes.into(), version);
            assert!(matches!(result, Err(WireError::Malformed { .. })), "v{version}");
        }
    }

    #[test]
    fn long_messages_are_refused() {
        let bytes = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        assert!(matches!(decode::<MetadataRequest>(bytes, 9), Err(WireError::MessageTooLarge { .. })));
    }

    #[test]
    fn response_frames_carry_length_and_header() {
        let api = api::lookup(ApiKey::FindCoordinator as i16).unwrap();
        for version in api.min..=api.max {
            let frame = encode_response(api, version, 9, &FindCoordinatorResponse::default()).unwrap();
            let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
            assert_eq!(length as usize, frame.len() - 4);
            assert_eq!(frame[4..8], [0, 0, 0, 9]);
        }
    }
}
