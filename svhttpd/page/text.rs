//! Numbers, times and logs as people read them. **Pure** but for the zone of the machine.

use servicedir::supervisor::local_time;

/// `0:01:06`, and `3d 2:00:00` from a day on; the page's script counts on in the same form.
pub(super) fn uptime(seconds: u64) -> String {
    let clock = format!(
        "{}:{:02}:{:02}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days}d {clock}"),
    }
}

/// Bytes as `512 B`, `1.4 MiB`, `17 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut tenths = u128::from(bytes) * 10;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        unit = larger;
        tenths /= 1024;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if tenths < 100 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", tenths / 10),
    }
}

/// A time as `2026-11-25 16:32:00` in local time; empty for never.
pub(super) fn local(unix: u64) -> String {
    let seconds = i64::try_from(unix).unwrap_or(0);
    let time = tz::DateTime::from_timespec(seconds, 0, local_time::zone().as_ref());
    match time {
        Ok(time) if unix != 0 => format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02}",
            time.year(),
            time.month(),
            time.month_day(),
            time.hour(),
            time.minute(),
            time.second()
        ),
        Ok(_) | Err(_) => String::new(),
    }
}

/// A log as text: colours and cursor movements (ECMA-48 control sequences) are left out, and what is not
/// a character is shown as one that says so.
pub(crate) fn plain_log(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.peek() == Some(&'[') => {
                // Parameters and intermediates, then the byte that ends the sequence.
                characters.next();
                characters.by_ref().find(|next| ('@'..='~').contains(next));
            }
            '\n' | '\t' => plain.push(character),
            '\r' => {}
            control if control.is_control() => plain.push(char::REPLACEMENT_CHARACTER),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_and_sizes_read_well() {
        assert_eq!(uptime(66), "0:01:06");
        assert_eq!(uptime(3 * 86_400 + 7200), "3d 2:00:00");
        let sizes = [0, 1023, 1024, 1_468_006, 12 << 20, 1 << 50].map(size);
        assert_eq!(
            sizes,
            ["0 B", "1023 B", "1.0 KiB", "1.3 MiB", "12 MiB", "1024 TiB"]
        );
        assert_eq!(local(0), "");
    }

    #[test]
    fn a_log_is_shown_without_its_colours() {
        assert_eq!(
            plain_log(b"\x1b[1;31mred\x1b[0m\tx\r\n\x07\xff\x1b[2"),
            "red\tx\n\u{fffd}\u{fffd}"
        );
    }
}
