//! 128-bit hashes of keys: SipHash-2-4 with a secret key.
//!
//! Two keys with one hash would make compaction drop the records of one of them. With 128 bits that does
//! not happen by chance: among five million keys, once in 10^25 runs. That it does not happen on purpose
//! either is up to the secret, which is drawn anew for each cleaning. Kafka uses MD5, for which
//! collisions can be computed. Nothing on disk depends on the hash.
//!
//! The algorithm is that of Aumasson and Bernstein's reference implementation.

/// Hashes keys under one secret.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyHasher {
    secret: [u64; 2],
}

/// The four words of the state.
struct Words(u64, u64, u64, u64);

impl Words {
    fn round(&mut self) {
        self.0 = self.0.wrapping_add(self.1);
        self.1 = self.1.rotate_left(13) ^ self.0;
        self.0 = self.0.rotate_left(32);
        self.2 = self.2.wrapping_add(self.3);
        self.3 = self.3.rotate_left(16) ^ self.2;
        self.0 = self.0.wrapping_add(self.3);
        self.3 = self.3.rotate_left(21) ^ self.0;
        self.2 = self.2.wrapping_add(self.1);
        self.1 = self.1.rotate_left(17) ^ self.2;
        self.2 = self.2.rotate_left(32);
    }

    fn compress(&mut self, word: u64) {
        self.3 ^= word;
        self.round();
        self.round();
        self.0 ^= word;
    }

    fn finish(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.0 ^ self.1 ^ self.2 ^ self.3
    }
}

impl KeyHasher {
    pub(super) fn new(secret: u128) -> Self {
        Self { secret: [secret as u64, (secret >> 64) as u64] }
    }

    pub(super) fn hash(&self, key: &[u8]) -> [u64; 2] {
        let [low, high] = self.secret;
        let mut words = Words(
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        );
        let (whole, rest) = key.as_chunks::<8>();
        for word in whole {
            words.compress(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = key.len() as u8;
        words.compress(u64::from_le_bytes(last));
        words.2 ^= 0xee;
        let first = words.finish();
        words.1 ^= 0xdd;
        [first, words.finish()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vectors of the reference implementation: the key counts from 0 to 15, the input from 0 on.
    #[test]
    fn hashes_are_those_of_the_reference() {
        let expected: [[u8; 16]; 3] = [
            [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93],
            [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45],
            [0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff, 0xe4],
        ];
        let secret: [u8; 16] = std::array::from_fn(|index| index as u8);
        let hasher = KeyHasher::new(u128::from_le_bytes(secret));
        let input: Vec<u8> = (0..64).collect();
        for (len, expected) in expected.iter().enumerate() {
            let [first, second] = hasher.hash(&input[..len]);
            assert_eq!([first.to_le_bytes(), second.to_le_bytes()].concat(), expected, "{len} bytes");
        }
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let hasher = KeyHasher::new(7);
        let zeros = [0; 40];
        let mut seen: Vec<_> = (0..=40).map(|len| hasher.hash(&zeros[..len])).collect();
        for at in 0..40 {
            let mut key = zeros;
            key[at] = 1;
            seen.push(hasher.hash(&key));
        }
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
