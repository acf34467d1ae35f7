//! Splitting a request over the shards that own its partitions.

use crate::server::Server;
use crate::shard::{ShardReply, ShardRequest};
use crate::types::{ErrorCode, ShardId};

/// What a part is answered whose shard stops before it replies: the client asks again elsewhere, or later.
pub(super) const UNANSWERED: ErrorCode = ErrorCode::NotLeaderOrFollower;

/// The parts of a request by owning shard, each with the place of its answer in the response.
pub(super) struct Split<Place, Part> {
    owners: Vec<Owner<Place, Part>>,
}

/// What one shard is asked, and where its answers belong: `places` and `parts` are of equal length.
pub(super) struct Owner<Place, Part> {
    /// The shard.
    pub(super) shard: ShardId,
    /// Where in the response the answer to each part goes.
    pub(super) places: Vec<Place>,
    /// The parts, in request order.
    pub(super) parts: Vec<Part>,
}

impl<Place, Part> Split<Place, Part> {
    pub(super) fn new() -> Self {
        Self { owners: Vec::new() }
    }

    /// Adds a part. Requests name few shards, so a scan beats a map.
    pub(super) fn push(&mut self, shard: ShardId, place: Place, part: Part) {
        match self.owners.iter_mut().find(|owner| owner.shard == shard) {
            Some(owner) => {
                owner.places.push(place);
                owner.parts.push(part);
            }
            None => self.owners.push(Owner { shard, places: vec![place], parts: vec![part] }),
        }
    }

    /// The shard that all parts are for; `None` if there are several, or no parts.
    pub(super) fn sole_owner(&self) -> Option<ShardId> {
        match &self.owners[..] {
            [owner] => Some(owner.shard),
            _ => None,
        }
    }

    /// The parts, one entry per shard.
    pub(super) fn into_owners(self) -> Vec<Owner<Place, Part>> {
        self.owners
    }
}

impl Server {
    /// Asks every owner for its parts at once and collects the replies. A shard that is stopping does
    /// not answer; its parts are missing from the result and keep [`UNANSWERED`].
    pub(super) async fn ask_all<Place, Part>(
        &self,
        split: Split<Place, Part>,
        request: impl Fn(Vec<Part>) -> ShardRequest,
    ) -> Vec<(Vec<Place>, ShardReply)> {
        let asked: Vec<_> = split
            .into_owners()
            .into_iter()
            .map(|Owner { shard, places, parts }| (places, self.shard().ask(shard, request(parts))))
            .collect();
        let mut replies = Vec::with_capacity(asked.len());
        for (places, reply) in asked {
            if let Some(reply) = reply.await {
                replies.push((places, reply));
            }
        }
        replies
    }
}
