//! svstat and svok: what they show.

mod show;
mod svok;
