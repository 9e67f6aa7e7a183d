//! supervise: one service, from its start to its end, and everything it writes.

mod adopt;
mod adopt_kills;
mod control;
mod faults;
mod journal;
mod manual;
mod notify;
mod notify_main;
mod notify_servers;
mod options_context;
mod restart;
mod servicedir_manual;
mod start;
mod states;
mod status;
mod supervisord;
