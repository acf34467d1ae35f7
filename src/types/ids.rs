//! Integer ids as newtypes, so that a node id is never passed for a shard id.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A broker or controller of the cluster (`node.id`); never negative for a real node.
    NodeId,
    i32
);
id!(
    /// One core's executor within this broker, counted from zero.
    ShardId,
    u16
);
id!(
    /// An idempotent or transactional producer; unique in the cluster, -1 for "none".
    ProducerId,
    i64
);
id!(
    /// The incarnation of a producer id; a lower epoch is fenced by a higher one. -1 for "none".
    ProducerEpoch,
    i16
);

impl ProducerId {
    /// A batch of a producer that is not idempotent.
    pub const NONE: Self = Self(-1);

    /// Whether this id names an idempotent producer.
    pub fn is_some(self) -> bool {
        self.0 >= 0
    }
}

impl ProducerEpoch {
    /// A batch of a producer that is not idempotent.
    pub const NONE: Self = Self(-1);
}
