//! `find`: commands among its words, and what it removes or writes by itself.

use crate::catalogue::file::Mention;
use crate::classify::{Place, Walk, simple};
use crate::reading::Kind;
use super::generic::secret_name;
use crate::shell::expand::{DYNAMIC, SEARCHED, Scope, Word};

impl Walk<'_> {
    pub(super) fn find_program(&mut self, args: &[Word], place: &Place, scope: &mut Scope) {
        self.search(args, place);
        let mut rest = args;
        let found = found(args);
        while let Some((first, more)) = rest.split_first() {
            rest = more;
            match first.text.as_str() {
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let end = more.iter().position(|word| matches!(word.text.as_str(), ";" | "+")).unwrap_or(more.len());
                    let command: Vec<Word> = more.get(..end).unwrap_or_default().iter().map(|word| put(word, &found)).collect();
                    self.exec(&command, &place.inside(), scope);
                    rest = more.get(end..).unwrap_or_default();
                }
                "-delete" => {
                    let start = args.first().map_or("", |word| word.text.as_str());
                    let mut finding = simple("find", "delete", Kind::Destructive, start, None);
                    finding.severe = matches!(start, "/" | "~" | "~/" | "/home" | "/etc" | "/usr" | "/var");
                    self.find(finding, place);
                }
                "-fprint" | "-fprintf" | "-fls" | "-fprint0" => {
                    if let Some(file) = more.first() {
                        self.paths(file, "find", Mention::Write, place);
                    }
                }
                _ => {
                    if first.is_dynamic() && first.text.starts_with(DYNAMIC) && first.variables.is_empty() {
                        self.unclear("part of a search is known only when it runs", place);
                    }
                }
            }
        }
    }
}

impl Walk<'_> {
    /// `fd PATTERN -x COMMAND`.
    pub(super) fn search_command(&mut self, args: &[Word], place: &Place, scope: &mut Scope) {
        let Some(at) = args.iter().position(|word| matches!(word.text.as_str(), "-x" | "-X" | "--exec" | "--exec-batch")) else { return };
        let (search, command) = args.split_at(at);
        let name = search.iter().find(|word| !word.text.starts_with('-')).map_or("", |word| word.text.as_str());
        let found = of_search(name, name);
        let mut words: Vec<Word> = command.iter().skip(1).take_while(|word| word.text != ";").map(|word| put(word, &found)).collect();
        if !command.iter().any(|word| word.text.contains("{}")) {
            words.push(found);
        }
        self.exec(&words, &place.inside(), scope);
    }
}

/// Where it searches and for which name: a path that it may find.
pub(super) fn found(args: &[Word]) -> Word {
    let start = args.first().map_or("", |word| word.text.as_str());
    let named = |word: &Word| matches!(word.text.as_str(), "-name" | "-iname" | "-path" | "-wholename" | "-ipath" | "-regex" | "-iregex");
    let name = args.windows(2).find(|pair| pair.first().is_some_and(named)).and_then(|pair| pair.last()).map_or("", |word| word.text.as_str());
    let path = if start.starts_with('-') { name.to_owned() } else { format!("{start}/{name}") };
    of_search(&path, name)
}

/// What a search for that name finds.
pub(super) fn of_search(path: &str, name: &str) -> Word {
    let text = format!("{}{DYNAMIC}", path.replace(DYNAMIC, ""));
    let perhaps = if secret_name(name) { vec![SEARCHED.to_owned()] } else { Vec::new() };
    Word { text, perhaps, ..Word::default() }
}

/// A word of the command: `{}` is whatever was found.
fn put(word: &Word, found: &Word) -> Word {
    let perhaps = if word.text.contains("{}") { found.perhaps.clone() } else { word.perhaps.clone() };
    Word { text: word.text.replace("{}", &found.text), perhaps, ..word.clone() }
}
