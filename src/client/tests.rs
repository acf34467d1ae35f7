//! A client against brokers that answer right, wrong, late or not at all.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::rt::executor::{self, ExecutorConfig};
use crate::rt::net::{self, Listener, ReadBuffer, Stream, WriteQueue};
use crate::rt::{task, time};
use crate::wire::api;
use crate::wire::messages::api_versions_response::ApiVersion as ApiRange;
use crate::wire::messages::{ApiKey, ApiVersionsResponse, MetadataRequest, MetadataResponse};

/// What a scripted broker does with a request after the first, which it answers with its versions.
#[derive(Debug, Clone, Copy)]
enum Script {
    Answer,
    AnswerSomethingElse,
    AnswerGarbage,
    Close,
    Ignore,
}

/// Runs `client` against a scripted broker whose Metadata goes up to version `metadata_max`.
fn with_broker<Fut, T>(
    script: Script,
    metadata_max: i16,
    client: impl FnOnce(String) -> Fut + Send + 'static,
) -> T
where
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let main = move || async move {
        let bound = net::bind(([127, 0, 0, 1], 0).into(), 1, 8).unwrap().remove(0);
        let address = bound.local_addr().to_string();
        let mut listener = Listener::from_bound(bound);
        let broker = task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn(serve(stream, script, metadata_max)).detach();
            }
        });
        let output = client(address).await;
        broker.cancel().await;
        output
    };
    executor::spawn(ExecutorConfig::unpinned("client-test"), main).unwrap().join().unwrap()
}

async fn serve(stream: Stream, script: Script, metadata_max: i16) {
    let (mut reader, mut writer) = stream.split();
    let (mut buffer, mut queue) = (ReadBuffer::new(), WriteQueue::new());
    loop {
        while buffer.unread().len() < 12 {
            if reader.read(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let length = i32::from_be_bytes(*buffer.unread().first_chunk().unwrap()) as usize;
        buffer.want(4 + length);
        while buffer.unread().len() < 4 + length {
            reader.read(&mut buffer).await.unwrap();
        }
        let frame = buffer.take(4 + length);
        let (key, version) =
            (i16::from_be_bytes([frame[4], frame[5]]), i16::from_be_bytes([frame[6], frame[7]]));
        let id = i32::from_be_bytes(*frame[8..].first_chunk().unwrap());
        let row = api::lookup(key).unwrap();
        let answer = match (row.key, script) {
            (ApiKey::ApiVersions, _) => {
                crate::wire::messages::encode_response(row, version, id, &versions(metadata_max)).unwrap()
            }
            (_, Script::Answer) => {
                let metadata = MetadataResponse::default().with_controller_id(i32::from(version).into());
                crate::wire::messages::encode_response(row, version, id, &metadata).unwrap()
            }
            (_, Script::AnswerSomethingElse) => raw_answer(id + 1, b""),
            (_, Script::AnswerGarbage) => raw_answer(id, &[0xff; 7]),
            (_, Script::Close) => return,
            (_, Script::Ignore) => continue,
        };
        queue.push(answer);
        writer.write_all(&mut queue).await.unwrap();
    }
}

fn versions(metadata_max: i16) -> ApiVersionsResponse {
    let range = |key: ApiKey, max| {
        ApiRange::default().with_api_key(key as i16).with_min_version(0).with_max_version(max)
    };
    let ranges = vec![range(ApiKey::ApiVersions, 4), range(ApiKey::Metadata, metadata_max)];
    ApiVersionsResponse::default().with_api_keys(ranges)
}

fn raw_answer(correlation_id: i32, body: &[u8]) -> Bytes {
    let mut answer = BytesMut::new();
    answer.put_i32(4 + body.len() as i32);
    answer.put_i32(correlation_id);
    answer.put_slice(body);
    answer.freeze()
}

fn options() -> ConnectOptions {
    ConnectOptions { timeout: Duration::from_millis(200), ..ConnectOptions::default() }
}

async fn ask(address: String) -> Result<MetadataResponse, ClientError> {
    Connection::open(&address, options()).await?.call(&MetadataRequest::default()).await
}

#[test]
fn the_highest_common_version_is_spoken() {
    for (broker_max, spoken) in [(13, 13), (5, 5), (99, 13), (0, 0)] {
        let response = with_broker(Script::Answer, broker_max, ask).unwrap();
        // The scripted broker answers with the version; version 0 has no such field.
        let expected = if spoken == 0 { -1 } else { spoken };
        assert_eq!(response.controller_id.0, expected, "broker up to {broker_max}");
    }
    let unserved = with_broker(Script::Answer, 5, async |address: String| {
        Connection::open(&address, options()).await.unwrap().version(ApiKey::Fetch)
    });
    assert!(matches!(unserved, Err(ClientError::Unsupported { .. })), "{unserved:?}");
}

#[test]
fn requests_in_flight_get_their_own_answers() {
    with_broker(Script::Answer, 5, async |address: String| {
        let connection = Connection::open(&address, options()).await.unwrap();
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let connection = connection.clone();
                task::spawn(async move { connection.call(&MetadataRequest::default()).await })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap().controller_id.0, 5);
        }
    });
}

#[test]
fn every_way_to_fail_names_the_broker() {
    let check = |script, expected: &str| {
        let error = with_broker(script, 13, ask).unwrap_err().to_string();
        assert!(error.starts_with("127.0.0.1:") && error.contains(expected), "{script:?}: {error}");
    };
    check(Script::Close, "closed the connection: end of stream");
    check(Script::Ignore, "did not answer within 200 ms");
    check(Script::AnswerGarbage, "sent what is no answer");
    check(Script::AnswerSomethingElse, "correlation id Some(2) where 1 was due");
}

#[test]
fn a_broken_connection_refuses_further_requests_at_once() {
    with_broker(Script::Close, 13, async |address: String| {
        let connection = Connection::open(&address, options()).await.unwrap();
        connection.call(&MetadataRequest::default()).await.unwrap_err();
        let started = time::monotonic_now();
        let again = connection.call(&MetadataRequest::default()).await.unwrap_err();
        assert!(matches!(again, ClientError::Disconnected { .. }), "{again:?}");
        assert!(time::monotonic_now() - started < Duration::from_millis(100));
    });
}

#[test]
fn nobody_there_is_said() {
    let refused = with_broker(Script::Close, 13, async |_| ask("127.0.0.1:1".to_owned()).await);
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    let unresolvable = with_broker(Script::Close, 13, async |_| ask("nowhere".to_owned()).await);
    assert!(matches!(unresolvable, Err(ClientError::Unresolvable { .. })), "{unresolvable:?}");
}

#[test]
fn passing_refusals_are_asked_again() {
    let refusal =
        |code| ClientError::Refused { what: String::new(), refusal: Refusal { code, message: None } };
    let attempts = with_broker(Script::Close, 13, move |_| async move {
        let mut attempts = 0;
        let outcome = retrying(async || {
            attempts += 1;
            if attempts < 3 { Err(refusal(6)) } else { Ok(attempts) }
        });
        outcome.await
    });
    assert_eq!(attempts, Ok(3));
    let lasting =
        with_broker(
            Script::Close,
            13,
            move |_| async move { retrying(async || Err::<(), _>(refusal(10))).await },
        );
    assert_eq!(
        lasting,
        Err(ClientError::Refused { what: String::new(), refusal: Refusal { code: 10, message: None } })
    );
}
