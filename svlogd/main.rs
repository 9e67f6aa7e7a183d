//! svlogd.

fn main() {}
