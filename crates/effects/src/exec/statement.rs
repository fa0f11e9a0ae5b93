//! What SQL statements would do, by their words alone: leading keywords, and words that raise wherever they stand. Whatever is
//! not plainly reading counts as writing, or is not known.

use crate::limits::SQL_BYTES_MAX;
use crate::shell::cursor::Cursor;
use crate::shell::expand::DYNAMIC;

/// What one statement would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Does {
    Reads,
    Writes,
    Removes,
    /// Creates or widens a principal, or code that runs in the server.
    Grants,
    /// Shows password hashes or files of the server.
    Shows,
    /// Known only when it runs.
    Unclear,
}

const READS: &[&str] = &["SELECT", "TABLE", "VALUES", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "USE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "END", "START", "PRAGMA", "FETCH"];
const REMOVES: &[&str] = &["DROP", "TRUNCATE", "DELETE", "PURGE"];
const WRITES: &[&str] = &[
    "INSERT", "UPDATE", "MERGE", "CREATE", "ALTER", "COPY", "CALL", "DO", "EXECUTE", "VACUUM", "REINDEX", "SET", "LOCK", "REPLACE", "LOAD", "IMPORT",
    "RENAME", "COMMENT", "INTO", "REFRESH", "CLUSTER", "ANALYZE", "NOTIFY", "LISTEN", "PREPARE", "RESET", "KILL", "FLUSH", "SHUTDOWN", "ATTACH", "DETACH",
];
/// Words that may stand before `(`, and functions that only look.
const PLAIN: &[&str] = &[
    "IN", "AND", "OR", "NOT", "WHERE", "ON", "AS", "FROM", "EXISTS", "ANY", "ALL", "SOME", "OVER", "FILTER", "VALUES", "USING", "UNION", "EXCEPT", "INTERSECT",
    "CASE", "WHEN", "THEN", "ELSE", "BY", "HAVING", "SELECT", "DISTINCT", "BETWEEN", "LIKE", "ILIKE", "WITH", "JOIN", "LATERAL", "CAST", "EXPLAIN", "COUNT", "SUM",
    "MIN", "MAX", "AVG", "NOW", "COALESCE", "LOWER", "UPPER", "LENGTH", "DATE_TRUNC", "EXTRACT", "CONCAT", "SUBSTR", "SUBSTRING", "ROUND", "ARRAY_AGG",
    "JSON_AGG", "JSONB_AGG", "STRING_AGG", "GROUP_CONCAT", "TO_CHAR", "TO_JSON", "ROW_TO_JSON", "PG_SIZE_PRETTY", "PG_DATABASE_SIZE",
    "PG_TOTAL_RELATION_SIZE", "PG_RELATION_SIZE", "VERSION", "CURRENT_DATABASE", "CURRENT_SETTING", "CURRENT_SCHEMA", "ROW_NUMBER", "RANK", "DENSE_RANK", "LAG",
    "LEAD", "NULLIF", "GREATEST", "LEAST", "GENERATE_SERIES", "UNNEST", "ABS", "FLOOR", "CEIL", "TRIM", "AGE", "INTERVAL", "DATE", "DATABASE", "ARRAY", "ROW",
    "TIMESTAMP", "PERCENTILE_CONT", "JSON_BUILD_OBJECT", "TABLE_INFO", "NUMERIC", "VARCHAR", "CHAR", "DECIMAL",
];
const SECRETS: &[&str] = &["PG_AUTHID", "PG_SHADOW", "PG_USER_MAPPING", "PG_READ_FILE", "PG_READ_BINARY_FILE", "PG_LS_DIR", "LO_EXPORT", "LOAD_FILE", "PASSWORD_HASH", "AUTHENTICATION_STRING", "PG_HBA_FILE_RULES"];
const GRANTS: &[&str] = &["GRANT", "REVOKE", "PROGRAM", "DBLINK", "DBLINK_EXEC", "DBLINK_CONNECT", "EXTENSION", "TRIGGER", "XP_CMDSHELL", "SECURITY", "OUTFILE", "DUMPFILE"];
const PRINCIPALS: &[&str] = &["USER", "ROLE", "LOGIN", "POLICY", "FUNCTION", "PROCEDURE", "EVENT", "SERVER"];

/// What a text of statements would do; the strictest of them.
pub(crate) fn statements(text: &str) -> Does {
    if text.len() > SQL_BYTES_MAX {
        return Does::Unclear;
    }
    let mut worst = Does::Reads;
    for statement in split(text) {
        worst = worst.max(statement_does(&statement));
    }
    worst
}

fn statement_does(words: &[String]) -> Does {
    let Some(first) = words.first() else { return Does::Reads };
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if first.contains(DYNAMIC) {
        return Does::Unclear;
    }
    let mut out = if READS.contains(&first.as_str()) {
        Does::Reads
    } else if REMOVES.contains(&first.as_str()) {
        Does::Removes
    } else {
        Does::Writes
    };
    if has(REMOVES) || (first == "UPDATE" && !has(&["WHERE"])) {
        out = out.max(Does::Removes);
    }
    if has(WRITES) || words.iter().any(|word| word.contains(DYNAMIC)) {
        out = out.max(Does::Writes);
    }
    let calls = |pair: &[String]| matches!(pair, [name, open] if open == "(" && !PLAIN.contains(&name.as_str()) && name.chars().all(|c| c.is_alphanumeric() || c == '_'));
    if out == Does::Reads && words.windows(2).any(calls) {
        out = Does::Writes;
    }
    let principal = matches!(first.as_str(), "CREATE" | "ALTER") && has(PRINCIPALS);
    if has(GRANTS) || principal {
        out = out.max(Does::Grants);
    }
    if has(SECRETS) {
        out = out.max(Does::Shows);
    }
    out
}

/// The bare words of each statement, upper case. What stands in quotes and comments is none.
fn split(text: &str) -> Vec<Vec<String>> {
    let mut out = vec![Vec::new()];
    let mut cursor = Cursor::new(text);
    while let Some(c) = cursor.next() {
        let mut push = |word: String| {
            if let Some(last) = out.last_mut() {
                last.push(word);
            }
        };
        match c {
            ';' => out.push(Vec::new()),
            '\'' => {
                quoted(&mut cursor, '\'', &mut push);
                push("''".to_owned());
            }
            '"' | '`' => {
                let start = cursor.at();
                quoted(&mut cursor, c, &mut push);
                // A quoted name is a name: of a table with hashes, too.
                push(cursor.since(start).trim_end_matches(c).to_uppercase());
            }
            '-' if cursor.eat("-") => _ = cursor.take(|c| c != '\n'),
            // What MySQL runs in `/*! … */` is read as words.
            '/' if cursor.rest().starts_with("*!") => _ = cursor.eat("*!"),
            '/' if cursor.eat("*") => comment(&mut cursor, &mut push),
            '$' => {
                // `$tag$ … $tag$`: a body that may run.
                push("$".to_owned());
            }
            '(' => push("(".to_owned()),
            c if c.is_alphanumeric() || c == '_' || c == DYNAMIC => {
                let rest = cursor.take(|c| c.is_alphanumeric() || c == '_' || c == DYNAMIC);
                push(format!("{c}{rest}").to_uppercase());
            }
            _ => {}
        }
    }
    out.retain(|words| !words.is_empty());
    out
}

fn quoted(cursor: &mut Cursor<'_>, end: char, push: &mut impl FnMut(String)) {
    while let Some(c) = cursor.next() {
        if c == DYNAMIC {
            // It can hold the end of the quote.
            push(DYNAMIC.to_string());
        }
        if c == end {
            return;
        }
    }
    push(DYNAMIC.to_string());
}

fn comment(cursor: &mut Cursor<'_>, push: &mut impl FnMut(String)) {
    while !cursor.rest().is_empty() {
        if cursor.eat("*/") {
            return;
        }
        cursor.next();
    }
    push(DYNAMIC.to_string());
}

/// The words of a script of MongoDB's shell.
pub(super) fn mongo(text: &str) -> Does {
    let lower = text.to_lowercase();
    let has = |list: &[&str]| list.iter().any(|word| lower.contains(word));
    if has(&["createuser", "grantroles", "updateuser", "createrole", "adminCommand".to_lowercase().as_str()]) {
        Does::Grants
    } else if has(&["drop", "delete", "remove", "shutdown"]) {
        Does::Removes
    } else if text.contains(DYNAMIC) {
        Does::Unclear
    } else if has(&["find", "count", "aggregate", "stats", "show ", "getcollection", "status", "distinct", "explain", "getindexes", "ping"])
        && !has(&["insert", "update", "save", "replace", "$out", "$merge", "create", "rename", "eval", "load("])
    {
        Does::Reads
    } else {
        Does::Writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plainly_reading_is_not_read() {
        for (sql, does) in [
            ("select 1", Does::Reads),
            ("SELECT count(*) FROM t WHERE a IN (1, 2); -- DROP TABLE t", Does::Reads),
            ("explain select 1", Does::Reads),
            ("select 'DROP TABLE t'", Does::Reads),
            ("explain analyze delete from t", Does::Removes),
            ("with x as (delete from t returning *) select * from x", Does::Removes),
            ("select 1; drop table t", Does::Removes),
            ("/*! DROP TABLE t */", Does::Removes),
            ("select * into t2 from t", Does::Writes),
            ("select setval('s', 1)", Does::Writes),
            ("insert into t values (1)", Does::Writes),
            ("update t set a = 1", Does::Removes),
            ("update t set a = 1 where b = 2", Does::Writes),
            ("create user x", Does::Grants),
            ("copy t to program 'sh'", Does::Grants),
            ("select * from pg_authid", Does::Shows),
            ("select * from \"pg_shadow\"", Does::Shows),
            ("\0", Does::Unclear),
            ("gibberish", Does::Writes),
            ("select 'x", Does::Writes),
        ] {
            assert_eq!(statements(sql), does, "{sql}");
        }
    }
}
