//! svctl: Supervisor's commands, beside the real supervisorctl and alone.

mod commands;
mod manual;
mod peer;
