//! The record batch format (magic 2): header view, in-place patches, builder, iterator, compression, validation.
