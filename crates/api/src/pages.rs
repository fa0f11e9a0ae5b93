//! The page of each code, as it stands in `docs/errors`. `cargo xtask tidy` fails where one is missing.

use crate::Code;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code.
#[must_use]
pub fn page(code: Code) -> &'static str {
    PAGES.iter().find(|(number, _)| *number == code.number()).map_or("", |(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_begins_with_it() {
        for code in Code::ALL {
            assert!(page(*code).starts_with(&format!("# {}", code.text())), "{}", code.text());
        }
        assert_eq!(PAGES.len(), Code::ALL.len(), "a page without a code");
    }
}
