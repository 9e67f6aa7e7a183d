//! Events for scripts: one line, or variables. **Pure.**

use crate::event::Event;

/// `EVENTNAME serial:7 processname:web ...`, and ` data:` with the data where there is some. Blanks,
/// backslashes and control characters in values are written as `\x20`.
pub(crate) fn line(event: &Event, serial: u64) -> Vec<u8> {
    let mut line = format!("{} serial:{serial}", event.kind.name()).into_bytes();
    let extra = event.extra.iter();
    for (key, value) in event.fields.iter().chain(extra) {
        line.extend(format!(" {key}:").bytes());
        push_escaped(&mut line, value.as_bytes());
    }
    if let Some(data) = event.data.as_ref().filter(|data| !data.is_empty()) {
        line.extend(b" data:");
        push_escaped(&mut line, data);
    }
    line.push(b'\n');
    line
}

fn push_escaped(line: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'\\' | b' ' | 0x7f | 0..=0x1f => line.extend(format!("\\x{byte:02x}").bytes()),
            plain => line.push(*plain),
        }
    }
}

/// `EVENT`, `EVENT_SERIAL`, and the fields as `EVENT_PROCESSNAME` and so on.
pub(crate) fn variables(event: &Event, serial: u64) -> Vec<(String, String)> {
    let mut variables = vec![
        ("EVENT".to_owned(), event.kind.name().to_owned()),
        ("EVENT_SERIAL".to_owned(), serial.to_string()),
        (
            "EVENT_TIME".to_owned(),
            event.stamp.unix_seconds().to_string(),
        ),
    ];
    for (key, value) in event.fields.iter().chain(&event.extra) {
        let name = format!("EVENT_{}", key.to_ascii_uppercase());
        // A variable cannot hold a zero byte.
        variables.push((name, value.replace('\0', "")));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Name;
    use crate::kind::Channel;
    use servicedir::tai64n::Tai64n;

    fn event() -> Event {
        let name = Name {
            process: "a b".to_owned(),
            group: "g".to_owned(),
        };
        let stamp = Tai64n::from_unix(9, 0);
        Event::of_output(
            stamp,
            true,
            Channel::Stdout,
            &name,
            8,
            b"one\ntwo\\".to_vec(),
        )
    }

    #[test]
    fn a_line_has_no_blank_in_a_value() {
        assert_eq!(
            String::from_utf8(line(&event(), 7)).unwrap(),
            "PROCESS_COMMUNICATION_STDOUT serial:7 processname:a\\x20b groupname:g pid:8 data:one\\x0atwo\\x5c\n"
        );
    }

    #[test]
    fn variables_have_the_names_of_the_fields() {
        let variables = variables(&event(), 7);
        let value = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| key == name)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(value("EVENT"), "PROCESS_COMMUNICATION_STDOUT");
        assert_eq!(value("EVENT_PROCESSNAME"), "a b");
        assert_eq!(
            (value("EVENT_PID"), value("EVENT_TIME")),
            ("8".into(), "9".into())
        );
    }
}
