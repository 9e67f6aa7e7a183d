//! pidproxy.

fn main() {}
