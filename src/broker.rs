//! The composition root: configuration in, running shards and listeners out, orderly shutdown.
