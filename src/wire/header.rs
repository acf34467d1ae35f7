//! Request and response headers.

use bytes::{BufMut, Bytes};

use super::WireError;
use super::api::{self, ApiRow};
use super::messages::StrBytes;
use super::primitives::{skip_tagged_fields, take_i16, take_i32, take_nullable_string};

/// The header of a request whose API and version are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The request's row in the API table.
    pub api: &'static ApiRow,
    /// The request's version, within the row's bounds.
    pub api_version: i16,
    /// What the response must repeat.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<StrBytes>,
}

impl RequestHeader {
    /// The API's number on the wire.
    pub fn api_key(&self) -> i16 {
        self.api.key as i16
    }
}

/// Takes the header off the front of a frame's contents; what is left is the body.
///
/// # Errors
/// `UnknownApi` and `UnsupportedVersion` come before anything behind the version is decoded. ApiVersions
/// in a version above ours is answered in version 0; Kafka closes the connection for the others.
/// `Truncated` and `Malformed` leave no way to answer.
pub fn decode_request_header(frame: &mut Bytes) -> Result<RequestHeader, WireError> {
    let api_key = take_i16(frame)?;
    let api_version = take_i16(frame)?;
    let api = api::lookup(api_key).ok_or(WireError::UnknownApi { api_key, api_version })?;
    let correlation_id = take_i32(frame)?;
    if !api.serves(api_version) {
        let (min, max) = (api.min, api.max);
        return Err(WireError::UnsupportedVersion { api_key, api_version, correlation_id, min, max });
    }
    // Kept in the old form even by flexible versions, so that any broker can read it.
    let client_id = take_nullable_string(frame)?;
    if api.request_header_version(api_version) == 2 {
        skip_tagged_fields(frame)?;
    }
    Ok(RequestHeader { api, api_version, correlation_id, client_id })
}

/// Bytes that [`encode_response_header`] appends.
pub fn response_header_len(api: &ApiRow, version: i16) -> usize {
    4 + api.response_header_version(version) as usize
}

/// Appends the header of a response, without the frame's length.
pub fn encode_response_header(out: &mut impl BufMut, api: &ApiRow, version: i16, correlation_id: i32) {
    out.put_i32(correlation_id);
    if api.response_header_version(version) == 1 {
        // No tagged fields.
        out.put_u8(0);
    }
}

/// Takes the header off the front of a response's contents and returns the correlation id.
pub fn decode_response_header(frame: &mut Bytes, api: &ApiRow, version: i16) -> Result<i32, WireError> {
    let correlation_id = take_i32(frame)?;
    if api.response_header_version(version) == 1 {
        skip_tagged_fields(frame)?;
    }
    Ok(correlation_id)
}

/// Appends the header of a request, without the frame's length.
pub fn encode_request_header(out: &mut impl BufMut, header: &RequestHeader) {
    out.put_i16(header.api_key());
    out.put_i16(header.api_version);
    out.put_i32(header.correlation_id);
    match &header.client_id {
        None => out.put_i16(-1),
        Some(client_id) => {
            let text = client_id.as_str();
            let length = i16::try_from(text.len()).expect("a client id is a configured name below 32 KiB");
            out.put_i16(length);
            out.put_slice(text.as_bytes());
        }
    }
    if header.api.request_header_version(header.api_version) == 2 {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::{self, ApiKey};
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn request_headers_are_those_of_the_schema() {
        for api in api::ALL {
            for api_version in api.min..=api.max {
                for client_id in [None, Some(StrBytes::from_static_str("rdkafka"))] {
                    let header =
                        RequestHeader { api, api_version, correlation_id: 77, client_id: client_id.clone() };
                    let mut ours = BytesMut::new();
                    encode_request_header(&mut ours, &header);
                    let mut theirs = BytesMut::new();
                    messages::RequestHeader::default()
                        .with_request_api_key(api.key as i16)
                        .with_request_api_version(api_version)
                        .with_correlation_id(77)
                        .with_client_id(client_id)
                        .encode(&mut theirs, api.request_header_version(api_version))
                        .unwrap();
                    assert_eq!(ours, theirs);
                    theirs.put_slice(b"body");
                    let mut frame = theirs.freeze();
                    assert_eq!(decode_request_header(&mut frame), Ok(header));
                    assert_eq!(&frame[..], b"body");
                }
            }
        }
    }

    #[test]
    fn unserved_requests_are_recognised_before_the_rest_is_decoded() {
        let decode =
            |bytes: &'static [u8]| decode_request_header(&mut Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(decode(&[0x7f, 0, 0, 3]), WireError::UnknownApi { api_key: 0x7f00, api_version: 3 });
        let too_new = WireError::UnsupportedVersion {
            api_key: ApiKey::ApiVersions as i16,
            api_version: 99,
            correlation_id: 5,
            min: 0,
            max: 4,
        };
        assert_eq!(decode(&[0, 18, 0, 99, 0, 0, 0, 5]), too_new);
        assert_eq!(decode(&[0, 18]), WireError::Truncated { expected: 2, found: 0 });
        assert_eq!(
            decode(&[0, 18, 0, 0, 0, 0, 0, 5, 0, 9, b'x']),
            WireError::Truncated { expected: 9, found: 1 }
        );
    }

    #[test]
    fn unknown_tags_are_skipped() {
        let mut frame = Bytes::from_static(&[0, 18, 0, 3, 0, 0, 0, 5, 0xff, 0xff, 1, 9, 2, 0xaa, 0xbb, 7]);
        decode_request_header(&mut frame).unwrap();
        assert_eq!(&frame[..], [7]);
    }

    #[test]
    fn response_headers_round_trip() {
        for api in api::ALL {
            for version in api.min..=api.max {
                let mut out = BytesMut::new();
                encode_response_header(&mut out, api, version, 42);
                assert_eq!(out.len(), response_header_len(api, version));
                assert_eq!(decode_response_header(&mut out.freeze(), api, version), Ok(42));
            }
        }
    }
}
