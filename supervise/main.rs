//! supervise.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "used by what is built next")]
mod account;
#[allow(dead_code, reason = "used by what is built next")]
mod context;

fn main() {}
