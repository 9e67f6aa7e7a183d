//! svhttpd: what it answers to Supervisor's clients, browsers and strangers.

mod browser;
mod clients;
mod doors;
mod exchanges;
mod manual;
mod page;
mod python;
mod server;
mod supervisorctl;
