//! supervise.

fn main() {}
