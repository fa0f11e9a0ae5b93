use super::*;
use crate::pattern::{Rules, builtin_rules};
use proptest::prelude::*;

fn shape(text: &str) -> Shape {
    Shape::parse(text).unwrap()
}

#[test]
fn a_placeholder_has_its_shape_and_the_scanner_finds_it() {
    let random: Vec<u8> = (0..1024_u32).map(|n| (n * 89 % 251) as u8).collect();
    let rules = Rules::compile(&builtin_rules()).unwrap();
    for text in [
        "ghp_[A-Za-z0-9]{36}",
        "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        "sk-ant-api03-[A-Za-z0-9_-]{93}AA",
        "sk-proj-[A-Za-z0-9_-]{124}",
        "AKIA[A-Z2-7]{16}",
        "npm_[A-Za-z0-9]{36}",
        "xoxb-[0-9]{12}-[0-9]{13}-[A-Za-z0-9]{24}",
    ] {
        let shape = shape(text);
        let made = shape.fill(&random).unwrap();
        assert_eq!(made.len(), shape.len());
        assert!(shape.matches(made.as_bytes()));
        assert_eq!(rules.find(made.as_bytes()).len(), 1, "{made}");
        let own = Rules::compile(&[shape.rule("own")]).unwrap();
        assert_eq!(
            own.find(format!("\"{made}\"").as_bytes())[0].range,
            1..made.len() + 1
        );
        assert_eq!(
            shape.fill(&random),
            Ok(made),
            "the same randomness makes the same placeholder"
        );
    }
}

#[test]
fn escapes_counts_and_classes_mean_what_they_mean_in_regexes() {
    assert_eq!(shape(r"a{3}\.\-\[b\]").fill(&[]), Ok("aaa.-[b]".to_owned()));
    assert_eq!(shape("[x]{4}").fill(&[]), Ok("xxxx".to_owned()));
    assert_eq!(shape("[ab]{2}-").fill(&[0, 0, 0, 1]), Ok("ab-".to_owned()));
    assert_eq!(shape("[-a]").fill(&[0, 1]), Ok("a".to_owned()));
    assert_eq!(shape("[a-]").fill(&[0, 0]), Ok("-".to_owned()));
    assert!(!shape("[a-c]{2}").matches(b"ad"));
    assert!(!shape("[a-c]{2}").matches(b"aba"), "all of it must match");
}

#[test]
fn what_has_no_single_length_is_refused_with_its_place() {
    let error = |text| Shape::parse(text).map(|shape| shape.len()).unwrap_err();
    for (text, what, at) in [
        ("ab*", '*', 2),
        ("a|b", '|', 1),
        ("(a)", '(', 0),
        ("a.b", '.', 1),
        ("[^a]", '^', 1),
        ("a{2,3}", ',', 3),
        (r"\d", 'd', 1),
        ("a b", '\u{fffd}', 1),
    ] {
        assert_eq!(error(text), ShapeError::NotAllowed { what, at }, "{text}");
    }
    assert_eq!(error("a[bc"), ShapeError::NotClosed { what: '[', at: 1 });
    assert_eq!(error("a{3"), ShapeError::NotClosed { what: '{', at: 1 });
    assert_eq!(error("a\\"), ShapeError::NotClosed { what: '\\', at: 1 });
    assert_eq!(error("[]"), ShapeError::Empty { what: '[', at: 0 });
    assert_eq!(error("[z-a]"), ShapeError::Empty { what: '[', at: 0 });
    assert_eq!(error("a{0}"), ShapeError::Empty { what: '{', at: 1 });
    assert_eq!(error(""), ShapeError::Nothing);
}

#[test]
fn the_bounds_of_shapes_are_exact() {
    let len = |text: &str| Shape::parse(text).map(|shape| shape.len());
    let too_long = Err(ShapeError::TooLong {
        max: SHAPE_MAX_BYTES,
        max_text: SHAPE_TEXT_MAX_BYTES,
    });
    assert_eq!(
        len(&format!("[ab]{{{SHAPE_MAX_BYTES}}}")),
        Ok(SHAPE_MAX_BYTES)
    );
    assert_eq!(len(&format!("[ab]{{{}}}", SHAPE_MAX_BYTES + 1)), too_long);
    assert_eq!(len("a{99999999999999999999999}"), too_long);
    assert_eq!(
        len(&"a".repeat(SHAPE_TEXT_MAX_BYTES)),
        Ok(SHAPE_TEXT_MAX_BYTES)
    );
    assert_eq!(
        len(&format!("[a{}]", "a".repeat(SHAPE_TEXT_MAX_BYTES - 2))),
        too_long
    );
    let shape = shape("[ab]{3}");
    assert_eq!(shape.random_bytes(), 6);
    assert!(shape.fill(&[0; 6]).is_ok());
    assert_eq!(
        shape.fill(&[0; 5]),
        Err(ShapeError::NotEnoughRandomness {
            needed: 6,
            given: 5
        })
    );
}

proptest! {
    #[test]
    fn whatever_parses_can_be_filled(text in r"[-a-z0-9_^\[\]{}\\.&~|]{1,24}", random in proptest::collection::vec(any::<u8>(), 2 * SHAPE_MAX_BYTES)) {
        if let Ok(shape) = Shape::parse(&text) {
            let made = shape.fill(&random);
            prop_assert!(made.is_ok(), "{text} {made:?}");
        }
    }
}
