//! The end of a text in a place of fixed size.
//!
//! Pure. As daemontools has it: three dots stay at the left, null bytes are left out, and each byte
//! moves the others one to the left.

/// The shortest argument: three dots and two bytes.
pub(crate) const SHORTEST: usize = 5;
/// The dots that stay at the left.
const DOTS: usize = 3;

/// The place.
#[derive(Debug)]
pub(crate) struct Window<'a>(&'a mut [u8]);

impl<'a> Window<'a> {
    /// The place of the text, filled with dots; `None` where it is too short.
    pub(crate) fn new(place: &'a mut [u8]) -> Option<Self> {
        if place.len() < SHORTEST {
            return None;
        }
        place.fill(b'.');
        let (_, text) = place.split_at_mut(DOTS);
        Some(Self(text))
    }

    /// Adds text at the end.
    pub(crate) fn add(&mut self, text: &[u8]) {
        for byte in text.iter().filter(|byte| **byte != 0) {
            self.0.rotate_left(1);
            if let Some(last) = self.0.last_mut() {
                *last = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(length: usize, text: &[u8]) -> Option<String> {
        let mut place = vec![b'x'; length];
        Window::new(&mut place)?.add(text);
        Some(String::from_utf8_lossy(&place).into_owned())
    }

    #[test]
    fn the_end_of_the_text_is_shown_after_three_dots() {
        assert_eq!(shown(8, b"").as_deref(), Some("........"));
        assert_eq!(shown(8, b"ab").as_deref(), Some("......ab"));
        assert_eq!(shown(8, b"abcde\0fg").as_deref(), Some("...cdefg"));
        assert_eq!(shown(4, b"a"), None);
    }

    proptest! {
        #[test]
        fn it_is_the_same_in_one_piece_and_in_two(text in "[a-z\n]{0,40}", cut in 0_usize..40) {
            let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
            let mut place = vec![0; 12];
            let mut window = Window::new(&mut place).unwrap();
            window.add(one);
            window.add(two);
            prop_assert_eq!(Some(String::from_utf8(place).unwrap()), shown(12, text.as_bytes()));
        }
    }
}
