//! The stamps that stand before lines: TAI64N labels, or UTC as people read it.
//!
//! Pure: the time is an argument. All forms are 26 bytes, the blank at the end included, as runit's are.

use servicedir::tai64n::Tai64n;

/// The length of a stamp in bytes.
pub(crate) const LENGTH: usize = 26;

/// The form of a stamp: the number of `-t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `-t`: `@4000000065f1c0de075bcd15 `.
    Label,
    /// `-tt`: `2024-03-13_14:15:16.12345 `.
    Utc,
    /// `-ttt`: `2024-03-13T14:15:16.12345 `.
    Iso,
}

/// Writes stamps. What only changes with the second is kept from one stamp to the next.
#[derive(Debug)]
pub(crate) struct Stamper {
    form: Form,
    second: Option<u64>,
    text: [u8; LENGTH],
}

impl Stamper {
    /// A writer of stamps of that form.
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            second: None,
            text: [b' '; LENGTH],
        }
    }

    /// The stamp of that time.
    pub(crate) fn stamp(&mut self, now: Tai64n) -> &[u8; LENGTH] {
        match self.form {
            Form::Label => copy(&mut self.text, 0, &now.hex()),
            Form::Utc => self.civil(now, b'_'),
            Form::Iso => self.civil(now, b'T'),
        }
        &self.text
    }

    fn civil(&mut self, now: Tai64n, between: u8) {
        let second = now.unix_seconds();
        if self.second != Some(second) {
            let (year, month, day) = date(second / 86_400);
            let within = second % 86_400;
            let mut text = [0; 20];
            digits(&mut text, 0, 4, year);
            digits(&mut text, 5, 2, month);
            digits(&mut text, 8, 2, day);
            digits(&mut text, 11, 2, within / 3600);
            digits(&mut text, 14, 2, within / 60 % 60);
            digits(&mut text, 17, 2, within % 60);
            for (at, mark) in [
                (4, b'-'),
                (7, b'-'),
                (10, between),
                (13, b':'),
                (16, b':'),
                (19, b'.'),
            ] {
                copy(&mut text, at, &[mark]);
            }
            copy(&mut self.text, 0, &text);
            self.second = Some(second);
        }
        digits(&mut self.text, 20, 5, u64::from(now.nanos() / 10_000));
    }
}

/// The Gregorian date of a day, counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    /// Days from 0000-03-01 to 1970-01-01, and in 400 years.
    const SHIFT: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days.saturating_add(SHIFT);
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + carry, month, day)
}

/// Writes the last `width` decimal digits of `value` at `at`.
fn digits(text: &mut [u8], at: usize, width: usize, mut value: u64) {
    for place in text.iter_mut().skip(at).take(width).rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn copy(text: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in text.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(form: Form, seconds: u64, nanos: u32, expected: &str) {
        let mut stamper = Stamper::new(form);
        let stamp = *stamper.stamp(Tai64n::from_unix(seconds, nanos));
        assert_eq!(String::from_utf8_lossy(&stamp), expected);
    }

    #[test]
    fn each_form_is_26_bytes_with_its_blank() {
        check(Form::Label, 0, 1, "@400000000000000a00000001 ");
        check(Form::Utc, 0, 0, "1970-01-01_00:00:00.00000 ");
        check(
            Form::Iso,
            951_827_696,
            987_654_321,
            "2000-02-29T12:34:56.98765 ",
        );
        check(
            Form::Utc,
            1_709_251_199,
            999_999_999,
            "2024-02-29_23:59:59.99999 ",
        );
        check(Form::Utc, 4_107_542_400, 0, "2100-03-01_00:00:00.00000 ");
    }

    #[test]
    fn a_kept_second_is_not_kept_too_long() {
        let mut stamper = Stamper::new(Form::Iso);
        for (seconds, nanos, expected) in [
            (59, 10_000, "1970-01-01T00:00:59.00001 "),
            (59, 20_000, "1970-01-01T00:00:59.00002 "),
            (60, 0, "1970-01-01T00:01:00.00000 "),
            (59, 0, "1970-01-01T00:00:59.00000 "),
        ] {
            let stamp = *stamper.stamp(Tai64n::from_unix(seconds, nanos));
            assert_eq!(String::from_utf8_lossy(&stamp), expected);
        }
    }

    proptest! {
        #[test]
        fn a_later_day_is_a_later_date(day in 0_u64..2_000_000) {
            prop_assert!(date(day) < date(day + 1));
        }
    }
}
