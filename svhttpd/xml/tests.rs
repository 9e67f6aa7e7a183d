use proptest::prelude::*;

use super::*;

fn call(body: &str) -> Result<Call, String> {
    decode(body.as_bytes()).map_err(|bad| bad.to_string())
}

fn param(value: &str) -> Result<Value, String> {
    let body = format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>m</methodName>\n<params>\n<param>\n{value}\n</param>\n</params>\n</methodCall>\n"
    );
    call(&body).map(|call| call.params[0].clone())
}

#[test]
fn python_s_call_is_read() {
    let body = "<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.getAllProcessInfo</methodName>\n<params>\n</params>\n</methodCall>\n";
    let read = call(body).unwrap();
    assert_eq!(
        (read.method.as_str(), read.params.len()),
        ("supervisor.getAllProcessInfo", 0)
    );
}

#[test]
fn params_may_be_missing_or_empty() {
    for params in ["", "<params/>", "<params></params>"] {
        let body = format!("<methodCall><methodName>a.b</methodName>{params}</methodCall>");
        assert_eq!(call(&body).unwrap().params, [], "{params}");
    }
}

#[test]
fn every_type_is_read() {
    let text = |text: &str| Ok(Value::text(text));
    assert_eq!(param("<value><int>-5</int></value>"), Ok(Value::Int(-5)));
    assert_eq!(param("<value><i4> 7 </i4></value>"), Ok(Value::Int(7)));
    assert_eq!(
        param("<value><i8>4294967296</i8></value>"),
        Ok(Value::Int(1 << 32))
    );
    assert_eq!(
        param("<value><boolean>1</boolean></value>"),
        Ok(Value::Bool(true))
    );
    assert_eq!(
        param("<value><boolean>true</boolean></value>"),
        Ok(Value::Bool(false))
    );
    assert_eq!(
        param("<value><double>1.5</double></value>"),
        Ok(Value::Double(1.5))
    );
    assert_eq!(param("<value><nil/></value>"), Ok(Value::Nil));
    assert_eq!(param("<value> no type </value>"), text(" no type "));
    assert_eq!(param("<value/>"), text(""));
    assert_eq!(
        param("<value>\n<string>a &lt;&#x41;&amp; <![CDATA[<b>]]></string>\n</value>"),
        text("a <A& <b>")
    );
    assert_eq!(
        param("<value><base64>aGVs\nbG8=</base64></value>"),
        text("hello")
    );
    assert_eq!(
        param("<value><dateTime.iso8601>20261125T00:00:00</dateTime.iso8601></value>"),
        text("20261125T00:00:00")
    );
    assert_eq!(
        param(
            "<value><array><data><value><int>1</int></value><value>x</value></data></array></value>"
        ),
        Ok(Value::Array(vec![Value::Int(1), Value::text("x")]))
    );
    assert_eq!(
        param("<value><struct><member><name>a</name><value>1</value></member></struct></value>"),
        Ok(Value::members([("a", Value::text("1"))]))
    );
}

#[test]
fn what_is_not_a_call_is_refused_with_a_reason() {
    for (body, reason) in [
        ("", "expected <methodCall>, found the end"),
        ("rubbish", "expected <methodCall>, found text"),
        (
            "<methodCall></methodCall>",
            "expected <methodName>, found </methodCall>",
        ),
        (
            "<methodCall><methodName> </methodName></methodCall>",
            "methodName is empty",
        ),
        (
            "<methodCall><methodName>a</methodName></methodCall><b/>",
            "expected the end, found <b>",
        ),
        (
            "<!DOCTYPE a [<!ENTITY e 'x'>]><methodCall/>",
            "a document type is not accepted",
        ),
        (
            "<methodCall><methodName>&lol;</methodName></methodCall>",
            "unknown entity &lol;",
        ),
        (
            "<methodCall><methodName>\u{1}</methodName></methodCall>",
            "U+0001 is not allowed in XML",
        ),
        (
            "<methodCall><methodName>&#1;</methodName></methodCall>",
            "a character reference to what XML forbids",
        ),
    ] {
        assert_eq!(call(body), Err(reason.to_owned()), "{body}");
    }
    assert!(
        param("<value><ex:nil/></value>")
            .unwrap_err()
            .contains("unbound prefix")
    );
    assert!(
        param("<value><int>1.5</int></value>")
            .unwrap_err()
            .contains("not a int")
    );
    assert!(
        param("<value><thing>1</thing></value>")
            .unwrap_err()
            .contains("unknown type")
    );
    assert!(decode(b"<methodCall><methodName>\xff").is_err());
}

#[test]
fn a_deep_value_is_refused_before_the_stack_ends() {
    let open = "<value><array><data>".repeat(100_000);
    assert_eq!(
        param(&open),
        Err("values are nested deeper than 32".to_owned())
    );
}

#[test]
fn latin_1_is_read_where_it_is_declared() {
    let body = b"<?xml version='1.0' encoding='ISO-8859-1'?><methodCall><methodName>\xe9</methodName></methodCall>";
    assert_eq!(decode(body).unwrap().method, "\u{e9}");
}

#[test]
fn an_answer_has_supervisor_s_bytes() {
    assert_eq!(
        answer(&Value::Int(32722)),
        "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><int>32722</int></value>\n</param>\n</params>\n</methodResponse>\n"
    );
    assert_eq!(
        fault(10, "BAD_NAME: zz"),
        "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>BAD_NAME: zz</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"
    );
}

#[test]
fn an_element_of_a_group_s_answer_has_supervisor_s_bytes() {
    let one = Value::members([
        ("name", Value::text("g1")),
        ("group", Value::text("grp")),
        ("status", Value::Int(80)),
        ("description", Value::text("OK")),
    ]);
    let expected = "<value><array><data>\n<value><struct>\n<member>\n<name>name</name>\n<value><string>g1</string></value>\n</member>\n<member>\n<name>group</name>\n<value><string>grp</string></value>\n</member>\n<member>\n<name>status</name>\n<value><int>80</int></value>\n</member>\n<member>\n<name>description</name>\n<value><string>OK</string></value>\n</member>\n</struct></value>\n</data></array></value>";
    assert!(answer(&Value::Array(vec![one])).contains(expected));
    assert!(
        answer(&Value::Array(vec![])).contains("<value><array><data>\n</data></array></value>")
    );
}

#[test]
fn what_a_client_cannot_parse_is_not_sent() {
    assert!(
        answer(&Value::text("a\u{1b}[0m<&>\r\n\t"))
            .contains("<string>a\u{fffd}[0m&lt;&amp;&gt;\r\n\t</string>")
    );
    assert!(answer(&Value::Int(i64::MAX)).contains("<int>2147483647</int>"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| Value::Int(number.into())),
        any::<bool>().prop_map(Value::Bool),
        "[ -~\u{e4}\u{1f600}\n\t]{0,20}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(("[a-z&<]{1,8}", inner), 0..6).prop_map(Value::Struct),
        ]
    })
}

/// An answer's value, put into a call.
fn as_call(value: &Value) -> String {
    answer(value)
        .replace("methodResponse>", "methodCall>")
        .replacen("<params>", "<methodName>m</methodName><params>", 1)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(value in value()) {
        let decoded = call(&as_call(&value)).unwrap();
        prop_assert_eq!(&decoded.params[0], &value);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(decode(&bytes));
    }

    #[test]
    fn no_damaged_call_makes_it_panic(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = as_call(&value).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        drop(decode(&body));
        body.truncate(at);
        prop_assert!(decode(&body).is_err() || body.ends_with(b"</methodCall>"));
    }
}
