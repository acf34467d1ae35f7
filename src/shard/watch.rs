//! The purgatory of fetches: a fetch that found too little waits for its partitions' news, which may be on
//! other cores, or for its deadline.

use std::rc::Rc;

use super::Shard;
use super::message::{Message, PartitionId, WatchToken};
use super::partition::Partition;
use crate::rt::sync::Notify;
use crate::types::ShardId;

/// A fetch that waits. Dropping it withdraws its watches everywhere, so that a client that went away
/// leaves nothing behind.
pub struct Waiting {
    token: WatchToken,
    notify: Rc<Notify>,
    shard: Rc<Shard>,
    watched: Vec<(ShardId, Vec<PartitionId>)>,
}

impl Waiting {
    /// The name under which probes register the watches.
    pub fn token(&self) -> WatchToken {
        self.token
    }

    /// Resolves once some watched partition had news since the last call.
    pub async fn woken(&self) {
        self.notify.wait().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shard.waiting.borrow_mut().remove(&self.token);
        for (owner, partitions) in self.watched.drain(..) {
            let unwatch = Message::Unwatch { token: self.token, partitions };
            self.shard.tell(usize::from(owner.0), unwatch);
        }
    }
}

impl Shard {
    /// Announces a fetch that will probe `watched`, partitions by owning shard, under the returned token.
    pub fn begin_waiting(self: &Rc<Self>, watched: Vec<(ShardId, Vec<PartitionId>)>) -> Waiting {
        let token = WatchToken(self.next_number());
        let notify = Rc::new(Notify::new());
        self.waiting.borrow_mut().insert(token, Rc::clone(&notify));
        Waiting { token, notify, shard: Rc::clone(self), watched }
    }

    pub(super) fn unwatch_local(&self, token: WatchToken, executor: usize, partitions: &[PartitionId]) {
        for id in partitions {
            if let Ok(partition) = self.partition(*id) {
                partition.unwatch(token, executor);
            }
        }
    }

    /// Wakes every fetch that watches `partition`, once.
    pub(super) fn wake_watchers(self: &Rc<Self>, partition: &Partition) {
        for (token, executor) in partition.take_watchers() {
            self.tell(executor, Message::Woken(token));
        }
    }

    /// Wakes a fetch of this shard; it may have ended meanwhile.
    pub(super) fn wake(&self, token: WatchToken) {
        if let Some(notify) = self.waiting.borrow().get(&token) {
            notify.notify_one();
        }
    }
}
