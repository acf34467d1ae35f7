//! The controller: decides on metadata changes and emits records. Sans-io.
