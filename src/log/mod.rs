//! A partition's log: segments, indexes, append, read, recovery, producer state.
