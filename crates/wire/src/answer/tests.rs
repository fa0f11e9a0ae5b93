use super::*;
use crate::limits::{ANSWER_FIELDS_MAX, ANSWER_HOLD_BYTES_MAX, PLACEMENT_BYTES_MAX, POINTER_HITS_MAX, SET_COOKIES_MAX};
use crate::place::PlaceError;
use http::{Request, Response, request, response};
use marque_detect::Secret;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn fields(words: &[&str]) -> Vec<AnswerField> {
    words.iter().map(|w| w.parse().unwrap()).collect()
}

fn answer(status: u16, headers: &[(&str, &str)]) -> response::Parts {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn request(target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut builder = Request::builder().uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn lines(headers: &http::HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
}

/// What was kept, by placeholder: the carrier and the value.
type Kept = BTreeMap<String, (String, Vec<u8>)>;

fn run(head: &mut response::Parts, body: &mut Vec<u8>, words: &[&str]) -> Result<(Swapped, Kept), AnswerError> {
    let mut kept = Kept::new();
    let mut mint = |carrier: &str, value: &[u8]| {
        let url = carrier.starts_with("url") || carrier == "location";
        let placeholder = format!("{}mq{}", if url { "http://gateway.test/" } else { "" }, kept.len());
        kept.insert(placeholder.clone(), (carrier.to_owned(), value.to_vec()));
        placeholder
    };
    let swapped = swap(head, Some(body), &fields(words), &mut mint)?;
    Ok((swapped, kept))
}

fn found(swapped: &Swapped) -> Vec<(&str, Fate)> {
    swapped.found.iter().map(|f| (f.carrier.as_str(), f.fate)).collect()
}

#[test]
fn fields_print_as_they_are_written_and_others_do_not_parse() {
    for words in [
        "json /token",
        "json /auths/*/auth",
        "url /download_url",
        "form access_token",
        "header x-subject-token",
        "cookie sid",
        "cookie *",
        "location",
        "pass cookie theme",
        "pass location",
        "pass json /a",
    ] {
        assert_eq!(words.parse::<AnswerField>().unwrap().to_string(), words);
    }
    for bad in [
        "",
        "json",
        "json token",
        "cookie",
        "cookie a=b",
        "location x",
        "location ",
        "header",
        "header set-cookie",
        "header Location",
        "header content-length",
        "form",
        "form a&b",
        "pass",
        "pass pass location",
        "body /x",
        "json /ä",
    ] {
        assert!(bad.parse::<AnswerField>().is_err(), "{bad:?}");
    }
    assert_eq!("cookie *".parse::<ReturnSlot>().unwrap(), ReturnSlot::AnyCookie);
    assert_eq!("basic AWS".parse::<ReturnSlot>().unwrap().to_string(), "basic AWS");
}

#[test]
fn declared_values_of_a_body_are_exchanged_and_every_other_byte_stays() -> Result<(), AnswerError> {
    for (words, before, after, kept_values) in [
        (&["json /token"][..], r#"{ "token" : "s\u00e9c", "n":1.0 }"#, r#"{ "token" : "mq0", "n":1.0 }"#, vec!["séc"]),
        (
            &["json /token", "json /access_token"],
            r#"{"access_token":"a","token":"b"}"#,
            r#"{"access_token":"mq0","token":"mq1"}"#,
            vec!["a", "b"],
        ),
        (
            &["json /auths/*/auth"],
            r#"{"auths":{"r1":{"auth":"x"},"r2":{"auth":"y","e":""}}}"#,
            r#"{"auths":{"r1":{"auth":"mq0"},"r2":{"auth":"mq1","e":""}}}"#,
            vec!["x", "y"],
        ),
        (
            &["json /data/*/token"],
            r#"{"data":[{"token":"x"},{"token":7},{}]}"#,
            r#"{"data":[{"token":"mq0"},{"token":"mq1"},{}]}"#,
            vec!["x", "7"],
        ),
        (&["json /t"], r#"{"t":"first","t":"second"}"#, r#"{"t":"mq0","t":"mq1"}"#, vec!["first", "second"]),
        (&["json /c"], r#"{"c":{"SecretAccessKey":"x"}}"#, r#"{"c":"mq0"}"#, vec![r#"{"SecretAccessKey":"x"}"#]),
        (&["json /c/k", "json /c"], r#"{"c":{"k":"x"}}"#, r#"{"c":"mq0"}"#, vec![r#"{"k":"x"}"#]),
        (
            &["url /download_url"],
            r#"{"download_url":"https://x/?sig=1"}"#,
            r#"{"download_url":"http://gateway.test/mq0"}"#,
            vec!["https://x/?sig=1"],
        ),
    ] {
        let mut head = answer(200, &[("content-type", "application/json"), ("content-length", "1"), ("etag", "\"x\"")]);
        let mut body = before.as_bytes().to_vec();
        let (swapped, kept) = run(&mut head, &mut body, words)?;
        assert_eq!(String::from_utf8(body).unwrap(), after);
        assert!(swapped.body_changed);
        assert_eq!(kept.values().map(|(_, v)| std::str::from_utf8(v).unwrap()).collect::<Vec<_>>(), kept_values);
        assert_eq!(lines(&head.headers, "content-length"), [after.len().to_string()]);
        assert!(lines(&head.headers, "etag").is_empty());
    }
    Ok(())
}

#[test]
fn what_is_not_there_or_empty_changes_nothing() -> Result<(), AnswerError> {
    for text in [r#"{"token":null}"#, r#"{"token":""}"#, "{}", "[]", r#"{"token":false}"#, ""] {
        let mut body = text.as_bytes().to_vec();
        let (swapped, kept) = run(&mut answer(200, &[]), &mut body, &["json /token"])?;
        assert_eq!((body.as_slice(), swapped, kept.len()), (text.as_bytes(), Swapped::default(), 0));
    }
    Ok(())
}

#[test]
fn a_passed_value_is_shown_and_listed() -> Result<(), AnswerError> {
    let mut head = answer(200, &[("set-cookie", "theme=dark"), ("x-token", "t"), ("location", "/?sig=1")]);
    let mut body = br#"{"t":"x"}"#.to_vec();
    let words = ["pass json /t", "pass cookie theme", "pass header x-token", "pass location"];
    let (swapped, kept) = run(&mut head, &mut body, &words)?;
    let want = [
        ("json /t", Fate::Passed),
        ("header x-token", Fate::Passed),
        ("cookie theme", Fate::Passed),
        ("location", Fate::Passed),
    ];
    assert_eq!(found(&swapped), want);
    assert!(kept.is_empty() && !swapped.body_changed && !swapped.has_withheld());
    assert_eq!(body, br#"{"t":"x"}"#);
    assert_eq!(lines(&head.headers, "set-cookie"), ["theme=dark"]);
    Ok(())
}

#[test]
fn an_answer_whose_credentials_cannot_be_found_is_withheld() {
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (head, text, words, want) in [
        (answer(200, &[json]), "token=abc", "json /token", Err(AnswerError::Unreadable)),
        (answer(200, &[form]), "access_token=abc", "json /token", Err(AnswerError::Unreadable)),
        (answer(200, &[json]), r#"{"access_token":"abc"}"#, "form access_token", Err(AnswerError::Unreadable)),
        (answer(200, &[form]), "access_token=a&access_token=b", "form access_token", Err(AnswerError::Unreadable)),
        (answer(200, &[json]), r#"{"token":"abc"}{"token":"def"}"#, "json /token", Err(AnswerError::Unreadable)),
        (
            answer(200, &[json, ("content-encoding", "gzip")]),
            r#"{"token":"abc"}"#,
            "json /token",
            Err(AnswerError::Coded),
        ),
        (answer(502, &[]), "<html>bad gateway", "json /token", Ok(())),
    ] {
        let mut body = text.as_bytes().to_vec();
        let result = run(&mut { head }, &mut body, &[words]).map(|_| ());
        assert_eq!(result, want, "{text} {words}");
    }
    let not_held = swap(&mut answer(200, &[json]), None, &fields(&["json /t"]), &mut |_, _| String::new());
    assert_eq!(not_held, Err(AnswerError::NotHeld));
    assert!(swap(&mut answer(200, &[json]), None, &fields(&["cookie *"]), &mut |_, _| String::new()).is_ok());
}

#[test]
fn a_form_answer_is_exchanged_by_field() -> Result<(), AnswerError> {
    let mut head = answer(200, &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
    let mut body = b"access_token=gho%5Fx&scope=repo&token_type=bearer".to_vec();
    let (_, kept) = run(&mut head, &mut body, &["form access_token", "json /access_token"])?;
    assert_eq!(body, b"access_token=mq0&scope=repo&token_type=bearer");
    assert_eq!(kept["mq0"], ("form access_token".to_owned(), b"gho_x".to_vec()));
    Ok(())
}

#[test]
fn a_cookie_keeps_its_attributes_and_one_that_nobody_declared_is_withheld() -> Result<(), AnswerError> {
    let set = [
        ("set-cookie", "sid=s3cret; Path=/; HttpOnly; Secure; SameSite=Lax; Domain=.api.test"),
        ("set-cookie", "theme=dark"),
        ("set-cookie", "json={\"a\":\"b\", c}; Max-Age=5"),
        ("set-cookie", "gone=; Max-Age=0"),
        ("set-cookie", "nameless"),
        ("set-cookie", "=odd"),
    ];
    let mut head = answer(200, &set);
    let (swapped, kept) = run(&mut head, &mut Vec::new(), &["cookie sid", "cookie json"])?;
    assert_eq!(
        lines(&head.headers, "set-cookie"),
        [
            "sid=mq0; Path=/; HttpOnly; Secure; SameSite=Lax; Domain=.api.test",
            "json=mq1; Max-Age=5",
            "gone=; Max-Age=0"
        ]
    );
    assert_eq!(kept["mq0"], ("cookie sid".to_owned(), b"s3cret".to_vec()));
    assert_eq!(kept["mq1"].1, b"{\"a\":\"b\", c}");
    let want = [
        ("cookie sid", Fate::Swapped),
        ("cookie theme", Fate::Withheld),
        ("cookie json", Fate::Swapped),
        ("cookie", Fate::Withheld),
        ("cookie", Fate::Withheld),
    ];
    assert_eq!(found(&swapped), want);

    let mut head = answer(200, &set);
    let (_, kept) = run(&mut head, &mut Vec::new(), &["cookie *", "pass cookie theme"])?;
    assert_eq!(kept.len(), 2, "a name goes before `*`");
    assert!(lines(&head.headers, "set-cookie").contains(&"theme=dark".to_owned()));
    Ok(())
}

#[test]
fn a_signed_url_is_known_by_the_names_of_its_parameters() {
    for url in [
        "https://b.s3.test/o?X-Amz-Algorithm=A&X-Amz-Signature=abc",
        "/o?x-amz-security-token=x",
        "https://c.test/x?Signature=a&Expires=1",
        "https://a.blob.test/c?sv=1&sig=abc",
        "https://codeload.test/a/b?token=AAA",
        "https://x/#access_token=a",
        "/cb?code=a&state=b",
        "https://u:p@x/",
        "//u@x/y",
        "/a?%74oken=x",
        "/a?a=1;token=x",
        "<https://x/?sig=1>; rel=\"next\"",
        "0; url=/x?jwt=a",
        "https://x/a?X-Goog-Signature=1",
    ] {
        assert!(looks_signed(url), "{url}");
    }
    for url in [
        "/a?page=2",
        "https://x/a/b",
        "/a?page_token=x",
        "/a?token=",
        "/a?code=404",
        "/@types/node",
        "https://x/@a/b",
        "<https://x/?page=2>; rel=\"next\", <https://x/?page=9>; rel=\"last\"",
        "",
        "mailto:a@b",
    ] {
        assert!(!looks_signed(url), "{url}");
    }
}

#[test]
fn a_signed_redirect_becomes_a_gateway_url_or_nothing() -> Result<(), AnswerError> {
    let signed = "https://cdn.test/f?X-Amz-Signature=abc";
    for (words, header, value, left, fate) in [
        (&["location"][..], "location", signed, vec!["http://gateway.test/mq0"], Some(Fate::Swapped)),
        (
            &["location"],
            "location",
            "https://cdn.test/f?opaque=1",
            vec!["http://gateway.test/mq0"],
            Some(Fate::Swapped),
        ),
        (&["location"], "location", "https://cdn.test/f", vec!["https://cdn.test/f"], None),
        (&["location"], "content-location", signed, vec!["http://gateway.test/mq0"], Some(Fate::Swapped)),
        (&[], "location", signed, vec![], Some(Fate::Withheld)),
        (&[], "location", "/next?page=2", vec!["/next?page=2"], None),
        (&[], "content-location", signed, vec![], Some(Fate::Withheld)),
        (&[], "refresh", "0; url=/x?sig=1", vec![], Some(Fate::Withheld)),
        (&[], "link", "</x?token=1>; rel=next", vec![], Some(Fate::Withheld)),
        (&["pass header link"], "link", "</x?token=1>; rel=next", vec!["</x?token=1>; rel=next"], Some(Fate::Passed)),
        (&["pass location"], "location", signed, vec![signed], Some(Fate::Passed)),
    ] {
        let mut head = answer(302, &[(header, value)]);
        let (swapped, _) = run(&mut head, &mut Vec::new(), words)?;
        assert_eq!(lines(&head.headers, header), left, "{words:?} {value}");
        assert_eq!(swapped.found.first().map(|f| f.fate), fate, "{words:?} {value}");
    }
    let mut odd = answer(302, &[]);
    odd.headers.insert("location", http::HeaderValue::from_bytes(b"/\xff?sig=1").unwrap());
    assert!(run(&mut odd, &mut Vec::new(), &[])?.0.has_withheld());
    Ok(())
}

#[test]
fn a_placeholder_that_does_not_fit_is_an_error_and_never_the_value() {
    for (words, header) in [("cookie a", ("set-cookie", "a=secret")), ("header x-t", ("x-t", "secret"))] {
        let mut mint = |_: &str, _: &[u8]| "bad\r\nvalue".to_owned();
        let result = swap(&mut answer(200, &[header]), Some(&mut Vec::new()), &fields(&[words]), &mut mint);
        assert_eq!(result, Err(AnswerError::Placeholder));
    }
    let mut body = br#"{"t":"secret"}"#.to_vec();
    swap(&mut answer(200, &[]), Some(&mut body), &fields(&["json /t"]), &mut |_, _| "a\"b\n".to_owned()).unwrap();
    assert_eq!(body, br#"{"t":"a\"b\n"}"#, "in JSON everything fits, escaped");
}

#[test]
fn answers_are_bounded_at_n() {
    let cookies = |n: usize| {
        let set: Vec<(&str, &str)> = vec![("set-cookie", "a=1"); n];
        run(&mut answer(200, &set), &mut Vec::new(), &[]).map(|_| ())
    };
    assert_eq!(cookies(SET_COOKIES_MAX), Ok(()));
    assert_eq!(cookies(SET_COOKIES_MAX + 1), Err(AnswerError::TooMany));

    let count = |n: usize| run(&mut answer(200, &[]), &mut Vec::new(), &vec!["json /a"; n]).map(|_| ());
    assert_eq!(count(ANSWER_FIELDS_MAX), Ok(()));
    assert_eq!(count(ANSWER_FIELDS_MAX + 1), Err(AnswerError::TooMany));

    let body = |n: usize| {
        run(&mut answer(200, &[]), &mut format!("\"{}\"", "x".repeat(n - 2)).into_bytes(), &["json /a"]).map(|_| ())
    };
    assert_eq!(body(ANSWER_HOLD_BYTES_MAX), Ok(()));
    assert_eq!(body(ANSWER_HOLD_BYTES_MAX + 1), Err(AnswerError::TooLong));

    let hits = |n: usize| {
        run(&mut answer(200, &[]), &mut format!("[{}]", vec!["1"; n].join(",")).into_bytes(), &["json /*"]).map(|_| ())
    };
    assert_eq!(hits(POINTER_HITS_MAX), Ok(()));
    assert_eq!(hits(POINTER_HITS_MAX + 1), Err(AnswerError::TooMany));

    let name = "a".repeat(PLACEMENT_BYTES_MAX - "form ".len());
    assert!(format!("form {name}").parse::<AnswerField>().is_ok());
    assert!(format!("form {name}a").parse::<AnswerField>().is_err());
}

fn slots(words: &[&str]) -> Vec<ReturnSlot> {
    words.iter().map(|w| w.parse().unwrap()).collect()
}

/// Knows one placeholder, minted for one slot.
fn knows(slot: &'static str, value: &'static str) -> impl Fn(&str, &str) -> Option<Secret> {
    move |words, text| (words == slot && text == "mq0").then(|| Secret::new(value.as_bytes().to_vec()))
}

#[test]
fn a_kept_credential_goes_back_into_the_slot_it_came_from_and_nowhere_else() -> Result<(), PlaceError> {
    for (slot, target, header, want_target, want_header) in [
        ("bearer", "/", ("authorization", "Bearer mq0"), "/", "Bearer real"),
        ("basic AWS", "/", ("authorization", "Basic QVdTOm1xMA=="), "/", "Basic QVdTOnJlYWw="),
        ("header x-subject-token", "/", ("x-subject-token", "mq0"), "/", "real"),
        ("query token", "/f?a=%2f&token=mq0", ("accept", "mq0"), "/f?a=%2f&token=real", "mq0"),
        ("cookie sid", "/", ("cookie", "a=mq0; sid=mq0"), "/", "sid=real; a=mq0"),
        // Not the whole value, not the slot, not this scheme: it stays what it is.
        ("bearer", "/", ("authorization", "Bearer mq0x"), "/", "Bearer mq0x"),
        ("bearer", "/", ("authorization", "Basic mq0"), "/", "Basic mq0"),
        ("bearer", "/?x=mq0", ("x-note", "Bearer mq0"), "/?x=mq0", "Bearer mq0"),
        ("cookie sid", "/", ("cookie", "sid=mq0; sid=mq0"), "/", "sid=mq0; sid=mq0"),
        ("basic AWS", "/", ("authorization", "Basic dXNlcjptcTA="), "/", "Basic dXNlcjptcTA="),
    ] {
        let mut parts = request(target, &[header]);
        restore(&mut parts, None, &slots(&[slot]), &knows(slot, "real"))?;
        assert_eq!(parts.uri.to_string(), want_target, "{slot}");
        assert_eq!(lines(&parts.headers, header.0), [want_header], "{slot}");
    }
    Ok(())
}

#[test]
fn a_placeholder_minted_for_one_slot_is_worth_nothing_in_another() -> Result<(), PlaceError> {
    let mut parts = request("/?token=mq0", &[("authorization", "Bearer mq0"), ("cookie", "other=mq0")]);
    let filled =
        restore(&mut parts, None, &slots(&["bearer", "query token", "cookie *"]), &knows("cookie sid", "real"))?;
    assert!(filled.is_empty());
    assert_eq!(parts.uri, "/?token=mq0");
    assert_eq!(lines(&parts.headers, "cookie"), ["other=mq0"]);
    let unlisted = restore(&mut parts, None, &slots(&["cookie sid"]), &knows("cookie other", "real"))?;
    assert!(unlisted.is_empty(), "a slot that is not listed is not looked at");
    assert_eq!(lines(&parts.headers, "cookie"), ["other=mq0"]);
    Ok(())
}

#[test]
fn a_kept_cookie_goes_back_as_it_was_set() -> Result<(), PlaceError> {
    let mut parts = request("/", &[("cookie", "a=1; sid=mq0")]);
    let filled = restore(&mut parts, None, &slots(&["cookie *"]), &knows("cookie sid", "{\"a\": \"b\", c}"))?;
    assert_eq!(filled, ["cookie sid"]);
    assert_eq!(lines(&parts.headers, "cookie"), ["sid={\"a\": \"b\", c}; a=1"]);
    assert!(parts.headers["cookie"].is_sensitive());
    let mut parts = request("/", &[("cookie", "sid=mq0")]);
    let injected = restore(&mut parts, None, &slots(&["cookie *"]), &knows("cookie sid", "x; admin=1"));
    assert_eq!(injected, Err(PlaceError::SecretBytes));
    Ok(())
}

#[test]
fn a_refresh_token_goes_back_into_its_body_field() -> Result<(), PlaceError> {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let mut body = b"grant_type=refresh_token&refresh_token=mq0".to_vec();
    restore(
        &mut request("/", &form),
        Some(&mut body),
        &slots(&["form refresh_token"]),
        &knows("form refresh_token", "r1"),
    )?;
    assert_eq!(body, b"grant_type=refresh_token&refresh_token=r1");
    let json = [("content-type", "application/json")];
    let mut body = br#"{"note":"mq0","refresh_token":"mq0"}"#.to_vec();
    restore(
        &mut request("/", &json),
        Some(&mut body),
        &slots(&["body /refresh_token"]),
        &knows("body /refresh_token", "r1"),
    )?;
    assert_eq!(body, br#"{"note":"mq0","refresh_token":"r1"}"#);
    Ok(())
}

proptest! {
    #[test]
    fn a_declared_value_never_reaches_the_agent(value in "[A-Za-z0-9]{12,20}", status in prop::sample::select(vec![200u16, 201, 302, 401, 500])) {
        let mut head = answer(status, &[
            ("set-cookie", &format!("sid={value}; Path=/")), ("set-cookie", &format!("other={value}")),
            ("x-token", &value), ("location", &format!("https://x/?sig={value}")),
        ]);
        let mut body = format!("{{\"a\":[{{\"t\":\"{value}\"}}],\"b\":{{\"t\":\"{value}\"}}}}").into_bytes();
        let words = ["json /a/*/t", "json /b/t", "header x-token", "cookie sid", "location"];
        let (swapped, kept) = run(&mut head, &mut body, &words).unwrap();
        let shown = format!("{:?} {}", head.headers, String::from_utf8(body).unwrap());
        prop_assert!(!shown.contains(&value), "{}", shown);
        prop_assert_eq!(kept.len(), 5);
        prop_assert_eq!(swapped.found.len(), 6);
    }

    #[test]
    fn a_cookie_that_was_swapped_comes_back_whole(name in "[a-z]{1,8}", value in "[!#-+\\--:<-~]{1,20}") {
        let mut head = answer(200, &[("set-cookie", &format!("{name}={value}; Path=/"))]);
        let (_, kept) = run(&mut head, &mut Vec::new(), &["cookie *"]).unwrap();
        let sent = lines(&head.headers, "set-cookie")[0].split(';').next().unwrap().to_owned();
        let mut parts = request("/", &[("cookie", &sent)]);
        let lookup = |words: &str, text: &str| kept.get(text).filter(|(c, _)| c == words).map(|(_, v)| Secret::new(v.clone()));
        restore(&mut parts, None, &slots(&["cookie *"]), &lookup).unwrap();
        prop_assert_eq!(lines(&parts.headers, "cookie"), [format!("{name}={value}")]);
    }

    #[test]
    fn any_answer_is_survived(text in ".{0,80}", set in "[ -~]{0,40}") {
        let mut head = answer(200, &[("set-cookie", set.trim()), ("location", set.trim()), ("link", set.trim())]);
        let mut body = text.into_bytes();
        let _ = run(&mut head, &mut body, &["json /a", "json /*/b", "cookie a"]);
    }
}
