//! Grants as sentences for the people who approve them.

use super::{Grant, Limits};

/// One sentence: where, what, on what, how much. Deterministic; shows every member.
#[must_use]
pub fn render(grant: &Grant) -> String {
    let what = match grant {
        Grant::Http(http) => {
            format!(
                "{} on {} at {}",
                any_of(&http.actions.words()),
                any_of(&http.locations),
                any_of(&http.paths)
            )
        }
        Grant::Service(service) => {
            format!(
                "{}: {} on {}",
                service.service,
                any_of(&service.actions),
                any_of(&service.resources)
            )
        }
    };
    format!(
        "in {}, {what}{}",
        grant.environment(),
        limits(grant.limits())
    )
}

fn any_of<T: ToString>(entries: &[T]) -> String {
    let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn limits(limits: &Limits) -> String {
    let mut words = Vec::new();
    words.extend(limits.uses.map(|n| format!("at most {n} uses")));
    words.extend(
        limits
            .rate
            .map(|r| format!("at most {} uses in any {} s", r.uses, r.per_s)),
    );
    words.extend(limits.bytes.map(|n| format!("at most {n} bytes")));
    words.extend(limits.rows.map(|n| format!("at most {n} rows")));
    words.extend(limits.until_s.map(|n| format!("until Unix second {n}")));
    words.iter().map(|w| format!(", {w}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_shows_every_member() {
        let grant = Grant::parse(
            r#"{"type":"http","environment":"staging","locations":["https://api.example.test:443"],"actions":["GET","HEAD"],
                "paths":["/v1/items/*","/static/**"],"limits":{"uses":9,"rate":{"uses":2,"per_s":60},"bytes":1,"rows":3,"until_s":5}}"#,
        )
        .unwrap();
        assert_eq!(
            render(&grant),
            "in staging, GET or HEAD on https://api.example.test:443 at /v1/items/* or /static/**, at most 9 uses, \
             at most 2 uses in any 60 s, at most 1 bytes, at most 3 rows, until Unix second 5"
        );
        let grant = Grant::parse(
            r#"{"type":"service","service":"github","environment":"dev","actions":["repo.read"],"resources":["a/b","a/c","a/d"]}"#,
        )
        .unwrap();
        assert_eq!(
            render(&grant),
            "in dev, github: repo.read on a/b, a/c or a/d"
        );
    }
}
