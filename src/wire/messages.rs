//! The generated messages of `kafka-protocol`, with decoding that is safe on a stranger's bytes.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::StrBytes;

use super::WireError;
use super::api::ApiRow;
use super::frame::LENGTH_LEN;
use super::guarded;
use super::header::{self, encode_response_header, response_header_len};

/// The longest message that [`decode`] takes. A decoded message takes up to some thirty times the memory
/// of its bytes: an empty string is one byte on the wire and 32 in memory.
///
/// Differs from Kafka, which decodes whatever `socket.request.max.bytes` lets in. Produce and Fetch, the
/// large ones, have decoders of their own.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Decodes the body of a request. Bytes behind it are ignored, as Kafka does.
///
/// Never panics, and allocates no more than in proportion to the bytes: see `wire::guarded` for how, and
/// the fuzz target `request_frame` for the proof.
///
/// # Errors
/// `MessageTooLarge` above [`MESSAGE_BYTES_MAX`], `Malformed` for everything else.
pub fn decode<T: Decodable>(bytes: Bytes, version: i16) -> Result<T, WireError> {
    decode_bounded(bytes, version, MESSAGE_BYTES_MAX)
}

/// Like [`decode`], for messages of at most `bytes_max` bytes: responses with records in them.
///
/// # Errors
/// `MessageTooLarge` above `bytes_max`, `Malformed` for everything else.
pub fn decode_bounded<T: Decodable>(bytes: Bytes, version: i16, bytes_max: usize) -> Result<T, WireError> {
    if bytes_max < bytes.len() {
        return Err(WireError::MessageTooLarge { max: bytes_max, found: bytes.len() });
    }
    guarded::decode(&bytes, version)
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

/// The longest answer that is encoded; what is longer ends its connection. The message itself is there by
/// then: what a handler gathers needs a bound of its own.
///
/// Differs from Kafka, which has no bound but the protocol's 2 GiB.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// A whole response frame: length, header, body.
///
/// # Errors
/// `Unencodable` when a field is set that the version does not have, `MessageTooLarge` above
/// [`RESPONSE_BYTES_MAX`].
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
    if RESPONSE_BYTES_MAX < frame_len {
        return Err(WireError::MessageTooLarge { max: RESPONSE_BYTES_MAX, found: frame_len });
    }
    let mut out = BytesMut::with_capacity(LENGTH_LEN + frame_len);
    out.put_i32(frame_len as i32);
    encode_response_header(&mut out, api, version, correlation_id);
    encode(body, version, &mut out)?;
    assert_eq!(out.len(), LENGTH_LEN + frame_len, "the computed size is the encoded size");
    Ok(out.freeze())
}

/// A whole request frame: length, header, body.
///
/// # Errors
/// `Unencodable` when a field is set that the version does not have.
pub fn encode_request<T: Encodable>(header: &header::RequestHeader, body: &T) -> Result<Bytes, WireError> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    header::encode_request_header(&mut out, header);
    encode(body, header.api_version, &mut out)?;
    let length = i32::try_from(out.len() - LENGTH_LEN)
        .map_err(|_| WireError::MessageTooLarge { max: i32::MAX as usize, found: out.len() })?;
    out[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

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
            .with_protocols(vec![protocol.clone(), protocol]);
        for version in 2..=9 {
            assert_eq!(decode(encoded(&request, version), version), Ok(request.clone()), "v{version}");
        }
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
    fn claims_that_the_bytes_could_hold_are_bounded_too() {
        // A million topic names that would all be there.
        let mut bytes = BytesMut::new();
        bytes.put_i32(1_000_000);
        bytes.resize(4 + 2_000_000 + 4, 0);
        let result = decode::<DeleteTopicsRequest>(bytes.freeze(), 3);
        assert!(matches!(result, Err(WireError::Malformed { .. })));
    }

    #[test]
    fn long_messages_are_refused() {
        let bytes = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        assert!(matches!(decode::<MetadataRequest>(bytes, 9), Err(WireError::MessageTooLarge { .. })));
    }

    #[test]
    fn request_frames_carry_length_and_header() {
        let api = api::lookup(ApiKey::Metadata as i16).unwrap();
        for api_version in api.min..=api.max {
            let client_id = Some(StrBytes::from_static_str("corelog"));
            let header = header::RequestHeader { api, api_version, correlation_id: 3, client_id };
            let body = MetadataRequest::default();
            let mut frame = encode_request(&header, &body).unwrap();
            let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
            assert_eq!(length as usize, frame.len() - LENGTH_LEN);
            frame.advance(LENGTH_LEN);
            assert_eq!(header::decode_request_header(&mut frame), Ok(header));
            assert_eq!(decode(frame, api_version), Ok(body));
        }
    }

    #[test]
    fn long_responses_are_not_encoded() {
        let member = describe_groups_response::DescribedGroupMember::default()
            .with_member_metadata(vec![0; 1 << 20].into());
        let group = describe_groups_response::DescribedGroup::default().with_members(vec![member]);
        let response = DescribeGroupsResponse::default().with_groups(vec![group; 256]);
        let api = api::lookup(ApiKey::DescribeGroups as i16).unwrap();
        let refused = encode_response(api, 5, 0, &response);
        assert!(matches!(refused, Err(WireError::MessageTooLarge { .. })));
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
