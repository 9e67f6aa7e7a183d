//! svscan.

fn main() {}
