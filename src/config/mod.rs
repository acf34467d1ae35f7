//! Configuration: the key table, the .properties parser, and the typed broker and topic configurations.
