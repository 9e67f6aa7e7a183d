//! The memory of services, from /proc.

use std::collections::BTreeMap;
use std::fs;

/// Bytes by session. Each run of a service is a session of its own, whose number is its pid, so that a
/// session's processes are the service's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Memory(BTreeMap<i32, u64>);

impl Memory {
    /// Looks at all processes once.
    pub(crate) fn by_session() -> Self {
        let page = rustix::param::page_size() as u64;
        let mut sessions = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if !name.first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            // A process that has ended meanwhile uses none.
            let Ok(stat) = fs::read(entry.path().join("stat")) else {
                continue;
            };
            if let Some((session, pages)) = session_and_pages(&stat) {
                *sessions.entry(session).or_default() += pages * page;
            }
        }
        Self(sessions)
    }

    /// The bytes of the service whose process has that number; 0 is none.
    pub(crate) fn of(&self, pid: i32) -> Option<u64> {
        self.0.get(&pid).copied().filter(|_| pid != 0)
    }
}

/// Fields 6 and 24 of /proc/PID/stat (proc(5)): the session, and the resident pages. The command's name
/// before them stands in parentheses, and may hold anything.
fn session_and_pages(stat: &[u8]) -> Option<(i32, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    // The first word is field 3.
    let mut fields = rest.split_ascii_whitespace();
    let session = fields.nth(3)?.parse().ok()?;
    let pages = fields.nth(17)?.parse().ok()?;
    Some((session, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_behind_the_name() {
        let stat = b"42 (a) b) S 1 42 7 0 -1 4194560 0 0 0 0 1 2 0 0 20 0 1 0 1234 4096 99 18446744073709551615 1 1";
        assert_eq!(session_and_pages(stat), Some((7, 99)));
        assert_eq!(session_and_pages(b"42 (a"), None);
        assert_eq!(session_and_pages(b"42 (a) S 1"), None);
    }

    #[test]
    fn this_process_uses_some() {
        let memory = Memory::by_session();
        assert!(memory.0.values().any(|bytes| *bytes > 100_000));
        assert_eq!(memory.of(0), None);
    }
}
