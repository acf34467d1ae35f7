//! Accepting connections on one listener of one shard.

use std::io;
use std::rc::Rc;

use futures_lite::future::or;

use super::connection::Accepted;
use super::{Server, connection};
use crate::quota::Peer;
use crate::rt::net::Listener;
use crate::rt::task;

/// What a connection knows of the listener it came in by.
#[derive(Debug)]
pub struct ListenerContext {
    /// The listener's name; Metadata answers the endpoints of the same name.
    pub name: String,
    /// Whether `max.connections` spares it: it is for brokers, and there are others for clients
    /// (`ConnectionQuotas.protectedListener`).
    pub is_protected: bool,
}

/// Accepts connections until the server drains.
pub async fn serve(server: Rc<Server>, mut listener: Listener, context: Rc<ListenerContext>) {
    loop {
        let stopped = async {
            server.drain.cancelled().await;
            None
        };
        let accepted = or(async { Some(accept(&server, &mut listener, &context).await) }, stopped).await;
        match accepted {
            None => return,
            Some(Ok(accepted)) => {
                let serving = connection::run(Rc::clone(&server), Rc::clone(&context), accepted);
                task::spawn(serving).detach();
            }
            Some(Err(error)) => {
                tracing::error!(target: "server", listener = %context.name, %error, "the listener is gone");
                return;
            }
        }
    }
}

/// The next connection that may be served. While the broker has as many as it may have, the next one waits,
/// and those behind it wait in the kernel; one that its address refuses is closed at once, as Kafka does.
async fn accept(
    server: &Rc<Server>,
    listener: &mut Listener,
    context: &ListenerContext,
) -> io::Result<Accepted> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let (shard, is_protected) = (server.shard.id(), context.is_protected);
        match server.shard.admit_connection(Peer { ip: peer.ip(), shard, is_protected }).await {
            Ok(slot) => return Ok(Accepted { stream, slot, unread: Vec::new(), moves: 0 }),
            Err(reason) => {
                tracing::info!(target: "server", listener = %context.name, %peer, %reason, "refused");
            }
        }
    }
}
