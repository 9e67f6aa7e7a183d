//! TAI64N labels: the time stamps of status files and of log lines.
//!
//! A label is 12 bytes: the seconds, big-endian, as 2^62 + 10 + the seconds since 1970 (daemontools
//! and runit always add 10 and know no leap seconds; see <https://cr.yp.to/libtai/tai64.html>), then
//! the nanoseconds, big-endian. As text it is `@` and 24 hexadecimal digits.
//!
//! This is the one place where the suite reads the wall clock: labels are shown to people, decisions
//! are made on the monotonic clock.

use std::fmt;
use std::time::Duration;

/// What daemontools and runit add to Unix seconds: 2^62, and the 10 seconds between TAI and UTC in 1970.
const EPOCH: u64 = (1 << 62) + 10;

/// One label, in its binary form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tai64n(pub [u8; 12]);

impl Tai64n {
    /// The wall clock's time now.
    #[must_use]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Self::from_unix(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }

    /// The label of a Unix time; `nanos` is less than 10^9.
    #[must_use]
    pub fn from_unix(seconds: u64, nanos: u32) -> Self {
        let mut label = [0; 12];
        let (high, low) = label.split_at_mut(8);
        high.copy_from_slice(&EPOCH.wrapping_add(seconds).to_be_bytes());
        low.copy_from_slice(&nanos.to_be_bytes());
        Self(label)
    }

    /// The Unix time in seconds; 0 for a label before 1970.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        let (seconds, _) = self.parts();
        seconds.saturating_sub(EPOCH)
    }

    /// The Unix time in seconds; negative for a label before 1970.
    #[must_use]
    pub fn unix_time(self) -> i64 {
        self.parts().0.wrapping_sub(EPOCH).cast_signed()
    }

    /// The nanoseconds beside the seconds.
    #[must_use]
    pub fn nanos(self) -> u32 {
        self.parts().1
    }

    /// How long before `now` the label is: zero where it lies in the future.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        let (then, now) = (self.since_epoch(), now.since_epoch());
        now.saturating_sub(then)
    }

    /// The label of a time that much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let then = self.since_epoch().saturating_add(time);
        Self::from_unix(then.as_secs(), then.subsec_nanos())
    }

    /// The label as the 25 characters that logs and file names carry.
    #[must_use]
    pub fn hex(self) -> [u8; 25] {
        let mut text = [b'@'; 25];
        let (_, digits) = text.split_at_mut(1);
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = hex_char(byte >> 4);
                *low = hex_char(byte & 15);
            }
        }
        text
    }

    /// Reads `@` and 24 hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"@")?;
        if digits.len() != 24 {
            return None;
        }
        let mut label = [0; 12];
        for (byte, pair) in label.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        Some(Self(label))
    }

    fn parts(self) -> (u64, u32) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.0;
        (
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u32::from_be_bytes([i, j, k, l]),
        )
    }

    fn since_epoch(self) -> Duration {
        Duration::new(self.unix_seconds(), self.nanos().min(999_999_999))
    }
}

impl fmt::Display for Tai64n {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

/// The lower-case digit of a value below 16.
fn hex_char(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + (value - 10)
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_1970_is_ten_seconds_after_2_to_the_62() {
        assert_eq!(
            Tai64n::from_unix(0, 0).to_string(),
            "@400000000000000a00000000"
        );
    }

    #[test]
    fn text_and_bytes_are_each_others_inverse() {
        let label = Tai64n::from_unix(1_795_262_400, 123_456_789);
        assert_eq!(Tai64n::from_hex(&label.hex()), Some(label));
        assert_eq!(label.unix_seconds(), 1_795_262_400);
        assert_eq!(label.nanos(), 123_456_789);
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for text in [
            "",
            "@",
            "400000000000000a00000000",
            "@400000000000000a0000000g",
            "@400000000000000a000000001",
        ] {
            assert_eq!(Tai64n::from_hex(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_label_in_the_future_has_no_age() {
        let early = Tai64n::from_unix(10, 0);
        let late = Tai64n::from_unix(12, 500_000_000);
        assert_eq!(early.age(late), Duration::from_millis(2500));
        assert_eq!(late.age(early), Duration::ZERO);
    }
}
