//! Programs under another path: a copy or a link of one is that program, whatever it is called.

use super::fetched::plain;
use crate::classify::{Place, Walk};
use crate::limits::RENAMED_MAX;
use crate::shell::expand::{Scope, Word};

impl Walk<'_> {
    /// Notes what `cp`, `mv`, `ln` and `install` give another path, and looks at what lies at a path that was noted.
    pub(super) fn renamed(&mut self, called: &str, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        if self.renamed.len() >= 2 * RENAMED_MAX && called.contains('/') && !super::SYSTEM.iter().any(|dir| called.starts_with(dir)) {
            self.unclear("more programs have other paths than are followed", place);
        }
        let mut known: Vec<String> = self.renamed.iter().filter(|(path, _)| plain(path) == plain(called)).map(|(_, program)| program.clone()).collect();
        match name {
            "cp" | "mv" | "ln" | "install" => self.gives_path(args),
            // Runs whatever lies in a directory.
            "run-parts" => {
                let inside = |path: &str| args.iter().any(|dir| path.starts_with(dir.text.trim_end_matches('/')) && !dir.text.starts_with('-'));
                known.extend(self.renamed.iter().filter(|(path, _)| inside(path)).map(|(_, program)| program.clone()));
            }
            _ => {}
        }
        for program in known {
            let mut words = vec![Word::literal(program)];
            words.extend(args.iter().filter(|_| name != "run-parts").cloned());
            self.exec(&words, &place.inside(), scope);
        }
    }

    fn gives_path(&mut self, args: &[Word]) {
        let words: Vec<&Word> = args.iter().filter(|word| !word.text.starts_with('-')).collect();
        let Some((to, from)) = words.split_last() else { return };
        let to = to.text.as_str();
        for program in from.iter().flat_map(|word| word.known().into_iter().chain(word.perhaps.iter().map(String::as_str))) {
            let name = program.rsplit('/').next().unwrap_or_default();
            let known = matches!(name, "env" | "printenv") || !self.catalogue.programs(name).is_empty();
            if known && self.renamed.len() < 2 * RENAMED_MAX {
                self.renamed.push((to.to_owned(), program.to_owned()));
                self.renamed.push((format!("{}/{name}", to.trim_end_matches('/')), program.to_owned()));
            }
        }
    }
}
