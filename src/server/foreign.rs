//! What somebody speaks who does not speak Kafka's protocol, told by the first bytes where a frame's length
//! should be: an HTTP proxy or a client set up for TLS is named in the log, and not only an absurd length.

/// The first four bytes of each HTTP method, and of the preface of HTTP/2 (RFC 9110, 9.1; RFC 9113, 3.4).
const HTTP: [&[u8; 4]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"CONN", b"OPTI", b"TRAC", b"PATC", b"PRI "];

/// A handshake record of any version of TLS (RFC 8446, 5.1): its type, and the first half of its version.
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

/// What `received` looks like, as a part of a log line; `None` for nothing in particular.
pub(super) fn looks_like(received: &[u8]) -> Option<&'static str> {
    let first: &[u8; 4] = received.first_chunk()?;
    if HTTP.contains(&first) {
        Some("looks like HTTP: this listener speaks Kafka's protocol")
    } else if first.starts_with(&TLS_HANDSHAKE) {
        Some("looks like a TLS handshake: this listener is PLAINTEXT")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_told_by_their_first_bytes() {
        let check = |received: &[u8], expected: Option<&str>| {
            let found = looks_like(received);
            assert_eq!(found.and_then(|text| text.split_once(':')).map(|(what, _)| what), expected);
        };
        check(b"GET / HTTP/1.1\r\n", Some("looks like HTTP"));
        check(b"PRI * HTTP/2.0\r\n", Some("looks like HTTP"));
        check(&[22, 3, 1, 2, 0, 1], Some("looks like a TLS handshake"));
        check(b"SSH-2.0", None);
        check(&[0xff; 4], None);
        check(b"GET", None);
    }
}
