//! The catalogue's own examples.

use crate::CATALOGUE;
use marque_effects::Catalogue;

#[test]
fn every_example_of_every_rule_is_what_the_rule_says() {
    let problems: Vec<String> = CATALOGUE.check().iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
    assert!(CATALOGUE.examples().count() > 500);
}

#[test]
fn every_file_of_the_catalogue_ships() {
    let shipped = Catalogue::shipped().unwrap();
    assert!(shipped.examples().eq(CATALOGUE.examples()), "a file of services/commands is not in catalogue/shipped.rs");
}

#[test]
fn an_example_that_does_not_match_is_found() {
    let text = "[[tool]]\nnames = [\"x\"]\nverbs = 1\n[[rule]]\ntool = \"x\"\nname = \"r\"\nmatch = [\"go\"]\nkind = \"write\"\nyes = [\"x stay\"]\nno = [\"x go\"]\n";
    let found = Catalogue::parse([("x.toml", text)]).unwrap().check();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn what_is_no_catalogue_is_refused_with_its_file() {
    for text in [
        "[[tool]]\nnames = []\n",
        "[[rule]]\ntool = \"y\"\nname = \"r\"\nmatch = [\"a\"]\nyes = []\n",
        "[[tool]]\nnames = [\"x\"]\ncolour = 1\n",
        "[[tool]]\nnames = [\"x\"]\n[[rule]]\ntool = \"x\"\nname = \"r\"\nmatch = [\"!word\"]\nyes = []\n",
    ] {
        let error = Catalogue::parse([("x.toml", text)]).unwrap_err();
        assert_eq!(error.file, "x.toml");
    }
}
