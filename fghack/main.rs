//! fghack.

fn main() {}
