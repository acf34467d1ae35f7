//! Control beside shards that the test plays, so that what is rare in a whole broker comes when the test
//! wants it.

use std::rc::Rc;
use std::sync::mpsc;

use corelog::config::{BrokerConfig, Sources};
use corelog::controller::Response;
use corelog::rt::executor::{self, ExecutorConfig};
use corelog::rt::mesh::{Mesh, MeshBuilder, outside};
use corelog::shard::control::{self, AdvertisedListener, ControlRequest, ControlSetup, ControlSignal};
use corelog::shard::{ControlReply, Message, RequestId};

use crate::harness::PATIENCE;
use crate::harness::broker::temporary_directory;

const SHARDS: usize = 2;

/// When a shard of the test asks control for producer ids, besides answering what control says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Never,
    /// When it has seen the metadata that shows this broker to clients, before it says so.
    BeforeItHasApplied,
}

/// Plays a shard until control stops it. Hands out what control replied.
async fn play_shard(mesh: Mesh<Message>, asks: Asks, replies: mpsc::Sender<ControlReply>) {
    let control = SHARDS;
    let mut has_asked = asks == Asks::Never;
    loop {
        let (_, messages) = mesh.incoming().await;
        for message in messages {
            match message {
                Message::Start(_) => mesh.post(control, Message::Started(Ok(()))),
                Message::Metadata(delta) => {
                    if !has_asked {
                        has_asked = true;
                        let body = ControlRequest::AllocateProducerIds;
                        mesh.post(control, Message::Control { id: RequestId(7), body });
                    }
                    mesh.post(control, Message::Applied(delta.last_offset));
                }
                Message::ControlReply { id, body } => {
                    assert_eq!(id, RequestId(7));
                    replies.send(body).expect("the test waits");
                }
                Message::Shutdown => mesh.post(control, Message::Drained),
                Message::Close => {
                    mesh.post(control, Message::Stopped);
                    while 0 < mesh.queued(control) {
                        corelog::rt::task::yield_now().await;
                    }
                    return;
                }
                other => panic!("control sent {other:?}"),
            }
        }
    }
}

/// A client may ask for something as soon as its own shard shows the broker to it, while another shard still
/// takes that metadata in. Control once took such a request for a bug and ended the broker.
#[test]
fn a_request_that_comes_while_the_last_shard_starts_is_answered() {
    let directory = temporary_directory();
    let overrides = [
        format!("log.dirs={}", directory.path().join("data").display()),
        "listeners=PLAINTEXT://127.0.0.1:9092".to_owned(),
    ];
    let sources = Sources { overrides: &overrides, ..Sources::default() };
    let (config, _) = BrokerConfig::load(&sources).expect("the settings are right");

    let mesh = MeshBuilder::<Message>::new(SHARDS + 1);
    let (reply, replies) = mpsc::channel();
    let mut shards = Vec::new();
    for (index, asks) in [Asks::BeforeItHasApplied, Asks::Never].into_iter().enumerate() {
        let (mesh, reply) = (mesh.clone(), reply.clone());
        let name = ExecutorConfig::unpinned(format!("shard-{index}"));
        let play = move || async move { play_shard(mesh.join(index).await, asks, reply).await };
        shards.push(executor::spawn(name, play).expect("an executor"));
    }
    let (signal, signals) = outside();
    let (ready, is_ready) = mpsc::channel();
    let name = "PLAINTEXT".to_owned();
    let endpoints = vec![AdvertisedListener { name, host: "127.0.0.1".to_owned(), port: 9092 }];
    let control = executor::spawn(ExecutorConfig::unpinned("control"), move || async move {
        let mesh = mesh.join(SHARDS).await;
        let setup = ControlSetup { config: Rc::new(config), mesh, signals, seed: 7, endpoints };
        control::run(setup, move || ready.send(()).expect("the test waits")).await
    })
    .expect("an executor");

    is_ready.recv_timeout(PATIENCE).expect("control gets ready");
    let reply = replies.recv_timeout(PATIENCE).expect("the request is answered");
    assert!(matches!(reply, Ok(Response::AllocateProducerIds(Ok(_)))), "{reply:?}");
    signal.post(ControlSignal::Stop);
    control.join().expect("no panic").expect("an orderly stop");
    shards.into_iter().for_each(|shard| shard.join().expect("no panic"));
}
