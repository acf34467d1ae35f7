//! Accepting connections on one listener of one shard.

use std::rc::Rc;

use futures_lite::future::or;

use super::{Server, connection};
use crate::rt::net::Listener;
use crate::rt::task;

/// What a connection knows of the listener it came in by.
#[derive(Debug)]
pub struct ListenerContext {
    /// The listener's name; Metadata answers the endpoints of the same name.
    pub name: String,
}

/// Accepts connections until the server drains.
pub async fn serve(server: Rc<Server>, mut listener: Listener, context: Rc<ListenerContext>) {
    loop {
        let stopped = async {
            server.drain.cancelled().await;
            None
        };
        let accepted = or(async { Some(listener.accept().await) }, stopped).await;
        match accepted {
            None => return,
            Some(Ok((stream, peer))) => {
                let serving = connection::run(Rc::clone(&server), Rc::clone(&context), stream, peer);
                task::spawn(serving).detach();
            }
            Some(Err(error)) => {
                tracing::error!(target: "server", listener = %context.name, %error, "the listener is gone");
                return;
            }
        }
    }
}
