//! svstat.

fn main() {}
