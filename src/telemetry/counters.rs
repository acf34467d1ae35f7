//! What a shard counts.

/// Declares the counters once: fields, merge and listing cannot drift apart.
macro_rules! counters {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: u64,)* }

        impl $name {
            /// Adds what another shard counted.
            pub fn merge(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// The counters of one shard, or of several merged. They only grow.
    pub struct ShardCounters {
        /// Connections accepted.
        connections_accepted,
        /// Connections closed, for whatever reason.
        connections_closed,
        /// Requests decoded.
        requests,
        /// Requests answered with an error or not decodable.
        requests_failed,
        /// Bytes received.
        received_bytes,
        /// Bytes sent.
        sent_bytes,
        /// Batches appended.
        batches_appended,
        /// Records appended.
        records_appended,
        /// Bytes appended.
        appended_bytes,
        /// Bytes of records handed to fetches.
        fetched_bytes,
        /// Writes of segments.
        writes,
        /// Writes and syncs after which bytes were durable.
        syncs,
        /// Messages posted to other executors.
        messages_posted,
    }
}

#[cfg(test)]
mod tests {
    use super::ShardCounters;

    #[test]
    fn merged_counters_are_sums() {
        let mut sum = ShardCounters { requests: 2, ..ShardCounters::default() };
        sum.merge(&ShardCounters { requests: 3, syncs: 1, ..ShardCounters::default() });
        let counted: Vec<_> = sum.iter().filter(|(_, value)| *value != 0).collect();
        assert_eq!(counted, [("requests", 5), ("syncs", 1)]);
    }
}
