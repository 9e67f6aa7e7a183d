//! The project's own files: that the documents say what is there.

mod map;
