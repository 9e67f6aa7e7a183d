//! svimport: configurations of Supervisor as service directories.

mod import;
mod manual;
mod projects;
mod random;
mod understood;
