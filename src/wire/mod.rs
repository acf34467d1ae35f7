//! The Kafka wire protocol: frames, headers, the API table, and zero-copy views of Produce and Fetch.
