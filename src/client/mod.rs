//! A small Kafka client on our own wire code, for the command line and the load generator.
