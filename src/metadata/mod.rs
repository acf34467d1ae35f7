//! Cluster metadata as Kafka's KRaft records: codec, image, snapshots. Sans-io.
