//! The last offset of each key in the dirty part of a log, in bounded memory (`SkimpyOffsetMap`).
//!
//! An entry is a hash of the key and an offset, 24 bytes as in Kafka, in one open-addressed table. Keys
//! themselves are not kept.

use crate::types::Offset;

use super::key_hash::KeyHasher;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 24;

/// The fewest slots of a table: below, its size is not worth a thought.
const SLOTS_MIN: usize = 64;

/// See the module. Kafka's map counts as full at its load factor; so does this one. The default has no room.
#[derive(Debug, Default)]
pub(super) struct OffsetMap {
    hasher: KeyHasher,
    /// Hash, hash, offset plus one: zeros are an empty slot, and fresh memory is zeros without being
    /// touched.
    slots: Vec<[u64; 3]>,
    count: usize,
    count_max: usize,
    latest_offset: Offset,
}

impl OffsetMap {
    /// A map for up to `expected` keys in at most `bytes_max` bytes, filled up to `load_factor`.
    pub(super) fn new(secret: u128, bytes_max: usize, expected: u64, load_factor: f64) -> Self {
        let affordable = (bytes_max / ENTRY_BYTES).max(2);
        // Twice the room where there is room: the fuller the table, the longer the searches.
        let wanted = usize::try_from(expected.saturating_mul(2)).unwrap_or(usize::MAX).max(SLOTS_MIN);
        let slots = affordable.min(wanted);
        let count_max = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        Self {
            hasher: KeyHasher::new(secret),
            slots: vec![[0; 3]; slots],
            count: 0,
            count_max,
            latest_offset: Offset::UNKNOWN,
        }
    }

    /// Notes a key at an offset, above all that were noted; false when the map is full, key known or not.
    #[must_use]
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.count_max <= self.count {
            return false;
        }
        let hash = self.hasher.hash(key);
        let slot = self.slot_of(hash);
        let entry = &mut self.slots[slot];
        self.count += usize::from(entry[2] == 0);
        *entry = [hash[0], hash[1], offset.0 as u64 + 1];
        true
    }

    /// The last offset noted for the key.
    pub(super) fn offset_of(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slot_of(self.hasher.hash(key));
        self.slots[slot][2].checked_sub(1).map(|offset| Offset(offset as i64))
    }

    /// The slot of the hash, or the empty one where it would go.
    fn slot_of(&self, hash: [u64; 2]) -> usize {
        let mut slot = ((u128::from(hash[0]) * self.slots.len() as u128) >> 64) as usize;
        let mut seen = 0;
        loop {
            let entry = &self.slots[slot];
            if entry[2] == 0 || entry[..2] == hash {
                return slot;
            }
            slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 };
            seen += 1;
            assert!(seen <= self.slots.len(), "a table that is not full has an empty slot");
        }
    }

    /// Everything up to this offset is in the map, or has no key.
    pub(super) fn latest_offset(&self) -> Offset {
        self.latest_offset
    }

    /// Moves the end of what the map covers up.
    pub(super) fn cover(&mut self, offset: Offset) {
        self.latest_offset = self.latest_offset.max(offset);
    }

    pub(super) fn key_count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::types::Prng;

    #[test]
    fn the_last_offset_of_a_key_wins() {
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let mut map = OffsetMap::new(u128::from(seed), 1 << 20, 2_000, 0.9);
            let mut model = HashMap::new();
            for offset in 0..2_000 {
                let key = prng.below(700).to_be_bytes();
                assert!(map.put(&key, Offset(offset)));
                model.insert(key, Offset(offset));
            }
            assert_eq!(map.key_count(), model.len());
            for key in 0..1_000_u64 {
                let key = key.to_be_bytes();
                assert_eq!(map.offset_of(&key), model.get(&key).copied(), "seed {seed}");
            }
        }
    }

    #[test]
    fn memory_and_load_are_bounded() {
        let mut map = OffsetMap::new(1, 100 * ENTRY_BYTES + 7, u64::MAX, 0.9);
        assert_eq!(map.bytes(), 100 * ENTRY_BYTES);
        let taken = (0..200_u64).take_while(|key| map.put(&key.to_be_bytes(), Offset(*key as i64))).count();
        assert_eq!(taken, 90);
        assert!(!map.put(&0_u64.to_be_bytes(), Offset(500)), "full is full, as in Kafka");
        assert_eq!(map.offset_of(&89_u64.to_be_bytes()), Some(Offset(89)));
        assert_eq!(map.offset_of(&90_u64.to_be_bytes()), None);
    }

    #[test]
    fn a_map_is_no_larger_than_it_has_to_be() {
        assert_eq!(OffsetMap::new(1, 128 << 20, 10, 0.9).bytes(), SLOTS_MIN * ENTRY_BYTES);
        let mut tiny = OffsetMap::new(1, 0, 10, 0.9);
        assert!(tiny.put(b"a", Offset(0)), "one key always fits");
        assert_eq!((tiny.offset_of(b"a"), tiny.put(b"b", Offset(1))), (Some(Offset(0)), false));
    }

    #[test]
    fn coverage_only_grows() {
        let mut map = OffsetMap::new(1, 1 << 10, 10, 0.9);
        assert_eq!(map.latest_offset(), Offset::UNKNOWN);
        map.cover(Offset(7));
        map.cover(Offset(5));
        assert_eq!(map.latest_offset(), Offset(7));
    }
}
