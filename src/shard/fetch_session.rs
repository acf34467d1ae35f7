//! Incremental fetch sessions (KIP-227): what a consumer asks for is remembered between its fetches, so
//! that a request names only what changed and a response only what is new.
//!
//! Sans-io. A session lives on the shard whose connection opened it; a consumer that reconnects to
//! another shard gets `FETCH_SESSION_ID_NOT_FOUND` and opens a new one, as after a broker restart.
//! Follows Kafka's `FetchManager`, `FetchSession` and `FetchSessionCache`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::types::{ErrorCode, LeaderEpoch, Offset, Prng, TopicId};

/// A session may be evicted for a newcomer once it was not used, or not larger, for this long
/// (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// How a fetch names a topic: by name up to version 12, by id from version 13 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name, which the partitions of one request share.
    Name(Rc<str>),
    /// By id.
    Id(TopicId),
}

/// One partition of a fetch request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    /// The topic, as the client named it.
    pub topic: TopicRef,
    /// The partition's index.
    pub partition: i32,
    /// The first offset wanted.
    pub fetch_offset: Offset,
    /// The leader epoch the client believes in; `UNKNOWN` skips the check (KIP-320).
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record the client has, for divergence detection (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// Bytes wanted from this partition at most.
    pub max_bytes: i32,
}

type PartitionKey = (TopicRef, i32);

/// The session fields of a fetch request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRequest {
    /// The session's id, 0 for none.
    pub id: i32,
    /// The request's number within the session: 0 opens a session, -1 closes it.
    pub epoch: i32,
}

const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;
/// The session id of a response to a fetch outside of any session.
pub const NO_SESSION: i32 = 0;

/// How the response to a fetch is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchContext {
    /// Every partition asked for is answered; no session.
    Sessionless,
    /// Every partition asked for is answered, and a session opened where there is room.
    Full,
    /// Only partitions with news are answered.
    Incremental {
        /// The session.
        id: i32,
        /// The epoch that the session's next request must carry.
        next_epoch: i32,
    },
}

/// What a response says of a partition, as far as the session compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition's error.
    pub error: ErrorCode,
    /// The high watermark answered.
    pub high_watermark: Offset,
    /// The log start offset answered.
    pub log_start_offset: Offset,
    /// Whether records, a diverging epoch or a preferred replica come along.
    pub has_news: bool,
}

#[derive(Debug)]
struct CachedPartition {
    request: FetchPartition,
    high_watermark: Offset,
    log_start_offset: Offset,
}

#[derive(Debug)]
struct Session {
    uses_topic_ids: bool,
    /// The epoch the next request must carry.
    epoch: i32,
    created: Instant,
    last_used: Instant,
    /// In the order in which partitions are served; one that had records goes to the end, so that a
    /// response limit does not starve those behind it.
    by_turn: BTreeMap<u64, CachedPartition>,
    turns: HashMap<PartitionKey, u64>,
    next_turn: u64,
}

impl Session {
    fn new(uses_topic_ids: bool, now: Instant) -> Self {
        Self {
            uses_topic_ids,
            epoch: 1,
            created: now,
            last_used: now,
            by_turn: BTreeMap::new(),
            turns: HashMap::new(),
            next_turn: 0,
        }
    }

    fn upsert(&mut self, request: FetchPartition) {
        let key = (request.topic.clone(), request.partition);
        if let Some(turn) = self.turns.get(&key) {
            self.by_turn.get_mut(turn).expect("every key has its turn").request = request;
            return;
        }
        self.push(key, CachedPartition { request, high_watermark: Offset(-1), log_start_offset: Offset(-1) });
    }

    fn push(&mut self, key: PartitionKey, cached: CachedPartition) {
        self.turns.insert(key, self.next_turn);
        self.by_turn.insert(self.next_turn, cached);
        self.next_turn += 1;
    }

    fn forget(&mut self, key: &PartitionKey) {
        if let Some(turn) = self.turns.remove(key) {
            self.by_turn.remove(&turn);
        }
    }

    /// Remembers what is answered and says whether the partition belongs into the response
    /// (`CachedPartition.maybeUpdateResponseData`).
    fn note_answer(&mut self, key: &PartitionKey, status: PartitionStatus) -> bool {
        let Some(&turn) = self.turns.get(key) else { return true };
        let cached = self.by_turn.get_mut(&turn).expect("every key has its turn");
        let mut must_respond = status.has_news;
        if cached.high_watermark != status.high_watermark {
            must_respond = true;
            cached.high_watermark = status.high_watermark;
        }
        if cached.log_start_offset != status.log_start_offset {
            must_respond = true;
            cached.log_start_offset = status.log_start_offset;
        }
        if status.error != ErrorCode::None {
            // An error is answered every time, and so is the first good answer after it.
            cached.high_watermark = Offset(-1);
            must_respond = true;
        }
        if status.has_news && status.error == ErrorCode::None {
            let cached = self.by_turn.remove(&turn).expect("every key has its turn");
            self.push(key.clone(), cached);
        }
        must_respond
    }
}

/// The sessions of one shard.
#[derive(Debug)]
pub struct FetchSessionCache {
    sessions: HashMap<i32, Session>,
    slots_max: usize,
    prng: Prng,
}

/// The outcome of [`FetchSessionCache::begin`].
#[derive(Debug, PartialEq, Eq)]
pub struct BegunFetch {
    /// How to answer.
    pub context: FetchContext,
    /// What to fetch, in order.
    pub partitions: Vec<FetchPartition>,
}

impl FetchSessionCache {
    /// A cache with room for `slots_max` sessions (`max.incremental.fetch.session.cache.slots`).
    pub fn new(slots_max: usize, prng: Prng) -> Self {
        Self { sessions: HashMap::new(), slots_max, prng }
    }

    /// Open sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Finds out what a request asks for. An error is answered for the whole request.
    pub fn begin(
        &mut self,
        now: Instant,
        request: SessionRequest,
        uses_topic_ids: bool,
        partitions: Vec<FetchPartition>,
        forgotten: &[(TopicRef, i32)],
    ) -> Result<BegunFetch, ErrorCode> {
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            self.sessions.remove(&request.id);
            let context =
                if request.epoch == FINAL_EPOCH { FetchContext::Sessionless } else { FetchContext::Full };
            return Ok(BegunFetch { context, partitions });
        }
        let session = self.sessions.get_mut(&request.id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for partition in partitions {
            session.upsert(partition);
        }
        for key in forgotten {
            session.forget(key);
        }
        if session.by_turn.is_empty() {
            self.sessions.remove(&request.id);
            return Ok(BegunFetch { context: FetchContext::Sessionless, partitions: Vec::new() });
        }
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        session.last_used = now;
        let partitions = session.by_turn.values().map(|cached| cached.request.clone()).collect();
        let context = FetchContext::Incremental { id: request.id, next_epoch: session.epoch };
        Ok(BegunFetch { context, partitions })
    }

    /// Ends a fetch. Returns the response's session id and, for each of `answers`, whether it belongs
    /// into the response.
    ///
    /// # Errors
    /// For the whole request, when the session has begun another one meanwhile
    /// (`IncrementalFetchContext.updateAndGenerateResponseData`).
    pub fn finish<'a>(
        &mut self,
        now: Instant,
        context: FetchContext,
        answers: impl ExactSizeIterator<Item = (&'a FetchPartition, PartitionStatus)> + Clone,
    ) -> Result<(i32, Vec<bool>), ErrorCode> {
        match context {
            FetchContext::Sessionless => Ok((NO_SESSION, vec![true; answers.len()])),
            FetchContext::Full => {
                let all = vec![true; answers.len()];
                Ok((self.maybe_open(now, answers), all))
            }
            FetchContext::Incremental { id, next_epoch } => {
                let Some(session) = self.sessions.get_mut(&id) else {
                    return Ok((id, vec![true; answers.len()]));
                };
                if session.epoch != next_epoch {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                let included = answers
                    .map(|(request, status)| {
                        session.note_answer(&(request.topic.clone(), request.partition), status)
                    })
                    .collect();
                Ok((id, included))
            }
        }
    }

    fn maybe_open<'a>(
        &mut self,
        now: Instant,
        answers: impl ExactSizeIterator<Item = (&'a FetchPartition, PartitionStatus)> + Clone,
    ) -> i32 {
        let Some((first, _)) = answers.clone().next() else { return NO_SESSION };
        if !self.make_room(now, answers.len()) {
            return NO_SESSION;
        }
        let uses_topic_ids = matches!(first.topic, TopicRef::Id(_));
        let mut session = Session::new(uses_topic_ids, now);
        for (request, status) in answers {
            session.upsert(request.clone());
            session.note_answer(&(request.topic.clone(), request.partition), status);
        }
        let id = self.unused_id();
        self.sessions.insert(id, session);
        id
    }

    /// `FetchSessionCacheShard.tryEvict`: the least recently used session when it is stale, else an
    /// older and smaller one.
    fn make_room(&mut self, now: Instant, size: usize) -> bool {
        if self.sessions.len() < self.slots_max {
            return true;
        }
        let stale = self
            .sessions
            .iter()
            .filter(|(_, session)| EVICTION_AGE < now.saturating_duration_since(session.last_used))
            .min_by_key(|(_, session)| session.last_used)
            .map(|(id, _)| *id);
        let victim = stale.or_else(|| {
            self.sessions
                .iter()
                .filter(|(_, session)| {
                    session.by_turn.len() < size
                        && EVICTION_AGE < now.saturating_duration_since(session.created)
                })
                .min_by_key(|(_, session)| session.by_turn.len())
                .map(|(id, _)| *id)
        });
        victim.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn unused_id(&mut self) -> i32 {
        loop {
            let id = (self.prng.next_u64() & 0x7fff_ffff) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32, offset: i64) -> FetchPartition {
        FetchPartition {
            topic: TopicRef::Name("t".into()),
            partition: index,
            fetch_offset: Offset(offset),
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            max_bytes: 1_000,
        }
    }

    fn quiet(high_watermark: i64) -> PartitionStatus {
        PartitionStatus {
            error: ErrorCode::None,
            high_watermark: Offset(high_watermark),
            log_start_offset: Offset(0),
            has_news: false,
        }
    }

    fn cache(slots: usize) -> FetchSessionCache {
        FetchSessionCache::new(slots, Prng::new(1))
    }

    fn open(cache: &mut FetchSessionCache, now: Instant, indexes: &[i32]) -> i32 {
        let asked = indexes.iter().map(|&index| partition(index, 0)).collect();
        let begun = cache.begin(now, SessionRequest { id: 0, epoch: 0 }, false, asked, &[]).unwrap();
        assert_eq!(begun.context, FetchContext::Full);
        cache
            .finish(now, begun.context, begun.partitions.iter().map(|request| (request, quiet(0))))
            .unwrap()
            .0
    }

    #[test]
    fn incremental_response_names_only_news_and_rotates() {
        let (mut cache, now) = (cache(10), Instant::now());
        let id = open(&mut cache, now, &[0, 1, 2]);
        let begun =
            cache.begin(now, SessionRequest { id, epoch: 1 }, false, vec![partition(1, 5)], &[]).unwrap();
        assert_eq!(begun.partitions[1], partition(1, 5));
        let mut news = quiet(0);
        news.has_news = true;
        let answers = begun.partitions.iter().zip([news, quiet(0), quiet(9)]);
        assert_eq!(cache.finish(now, begun.context, answers), Ok((id, vec![true, false, true])));
        let begun = cache.begin(now, SessionRequest { id, epoch: 2 }, false, vec![], &[]).unwrap();
        let order: Vec<_> = begun.partitions.iter().map(|request| request.partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn errors_are_answered_until_they_are_gone_and_once_more() {
        let (mut cache, now) = (cache(10), Instant::now());
        let id = open(&mut cache, now, &[0]);
        let mut failed = quiet(0);
        failed.error = ErrorCode::KafkaStorageError;
        for (epoch, status, included) in
            [(1, failed, true), (2, failed, true), (3, quiet(0), true), (4, quiet(0), false)]
        {
            let begun = cache.begin(now, SessionRequest { id, epoch }, false, vec![], &[]).unwrap();
            let answers = begun.partitions.iter().map(|request| (request, status));
            assert_eq!(cache.finish(now, begun.context, answers), Ok((id, vec![included])), "epoch {epoch}");
        }
    }

    #[test]
    fn wrong_id_epoch_or_naming_is_refused() {
        let (mut cache, now) = (cache(10), Instant::now());
        let id = open(&mut cache, now, &[0]);
        let mut begin = |id, epoch, ids| {
            cache.begin(now, SessionRequest { id, epoch }, ids, vec![], &[]).map(|begun| begun.context)
        };
        assert_eq!(begin(id ^ 1, 1, false), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(begin(id, 7, false), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(begin(id, 1, true), Err(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(begin(id, 1, false), Ok(FetchContext::Incremental { id, next_epoch: 2 }));
        assert_eq!(begin(id, FINAL_EPOCH, false), Ok(FetchContext::Sessionless));
        assert_eq!(begin(id, 2, false), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_fetch_that_another_has_overtaken_is_refused() {
        let (mut cache, now) = (cache(10), Instant::now());
        let id = open(&mut cache, now, &[0]);
        let mut begin = |epoch| cache.begin(now, SessionRequest { id, epoch }, false, vec![], &[]).unwrap();
        let (slow, quick) = (begin(1), begin(2));
        let mut finish = |begun: BegunFetch| {
            cache.finish(now, begun.context, begun.partitions.iter().map(|request| (request, quiet(9))))
        };
        assert_eq!(finish(slow), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(finish(quick), Ok((id, vec![true])));
    }

    #[test]
    fn forgetting_everything_closes_the_session() {
        let (mut cache, now) = (cache(10), Instant::now());
        let id = open(&mut cache, now, &[0]);
        let forgotten = [(TopicRef::Name("t".into()), 0)];
        let begun = cache.begin(now, SessionRequest { id, epoch: 1 }, false, vec![], &forgotten).unwrap();
        assert_eq!(begun.context, FetchContext::Sessionless);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_full_cache_evicts_only_what_is_stale_or_smaller() {
        let (mut cache, now) = (cache(1), Instant::now());
        let first = open(&mut cache, now, &[0]);
        assert_ne!(first, NO_SESSION);
        assert_eq!(open(&mut cache, now, &[0, 1]), NO_SESSION, "the first is neither stale nor old");
        let later = now + EVICTION_AGE + Duration::from_secs(1);
        assert_ne!(open(&mut cache, later, &[0]), NO_SESSION);
        assert_eq!(cache.len(), 1);
    }
}
