//! Splitting a request over the shards that own its partitions.

use crate::server::Server;
use crate::shard::{ShardReply, ShardRequest};
use crate::types::{ErrorCode, ShardId};

/// What a part is answered whose shard stops before it replies: the client asks again elsewhere, or later.
pub(super) const UNANSWERED: ErrorCode = ErrorCode::NotLeaderOrFollower;

/// The parts of a request by owning shard, each with the place of its answer in the response.
pub(super) struct Split<Place, Part> {
    owners: Vec<(ShardId, Vec<Place>, Vec<Part>)>,
}

impl<Place, Part> Split<Place, Part> {
    pub(super) fn new() -> Self {
        Self { owners: Vec::new() }
    }

    /// Adds a part. Requests name few shards, so a scan beats a map.
    pub(super) fn push(&mut self, owner: ShardId, place: Place, part: Part) {
        match self.owners.iter_mut().find(|(shard, ..)| *shard == owner) {
            Some((_, places, parts)) => {
                places.push(place);
                parts.push(part);
            }
            None => self.owners.push((owner, vec![place], vec![part])),
        }
    }

    /// The parts, one entry per shard.
    pub(super) fn into_owners(self) -> Vec<(ShardId, Vec<Place>, Vec<Part>)> {
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
            .map(|(owner, places, parts)| (places, self.shard().ask(owner, request(parts))))
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
