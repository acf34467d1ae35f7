//! The `corelog` program: parses arguments and maps failures to exit codes.

fn main() {}
