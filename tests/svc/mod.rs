//! svc: what it sends, and how it waits for the outcome.

mod send;
mod trust;
mod wait;
