//! Where the output of a command goes: files that are run later, files whose text is known, commands that read it.

use super::expand::{Scope, Word};
use crate::classify::{Input, Place, Walk};
use crate::limits::KEPT_MAX;
use brush_parser::ast::{CommandPrefixOrSuffixItem, CompoundList, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, ProcessSubstitutionKind, SimpleCommand};

/// What is known of a command that was visited.
pub(super) struct After<'w> {
    /// Whether it reads from the network.
    pub(super) fetched: bool,
    /// What it prints, where that is known.
    pub(super) output: Option<&'w Word>,
    pub(super) words: &'w [Word],
}

fn items(command: &SimpleCommand) -> impl Iterator<Item = &CommandPrefixOrSuffixItem> {
    command.prefix.iter().flat_map(|list| &list.0).chain(command.suffix.iter().flat_map(|list| &list.0))
}

/// Commands that read what this one writes: `>(command)`.
fn sinks(command: &SimpleCommand) -> Vec<&CompoundList> {
    items(command)
        .filter_map(|item| match item {
            CommandPrefixOrSuffixItem::ProcessSubstitution(ProcessSubstitutionKind::Write, shell) => Some(&shell.list),
            CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::File(_, kind, IoFileRedirectTarget::ProcessSubstitution(_, shell))) if !matches!(kind, IoFileRedirectKind::Read) => Some(&shell.list),
            _ => None,
        })
        .collect()
}

/// The file that output goes to.
fn written_file(item: &CommandPrefixOrSuffixItem) -> Option<&str> {
    match item {
        CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::File(_, _, IoFileRedirectTarget::Filename(word))) if writes_file(item) => Some(&word.value),
        CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::OutputAndError(word, _)) => Some(&word.value),
        _ => None,
    }
}

/// Whether it is a redirection of output into a file.
fn writes_file(item: &CommandPrefixOrSuffixItem) -> bool {
    use IoFileRedirectKind as K;
    match item {
        CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::File(_, kind, _)) => matches!(kind, K::Write | K::Append | K::Clobber | K::ReadAndWrite),
        CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::OutputAndError(..)) => true,
        _ => false,
    }
}

impl Walk<'_> {
    /// What becomes of the output of a command.
    pub(super) fn after(&mut self, command: &SimpleCommand, after: &After<'_>, place: &Place, scope: &mut Scope) {
        let to: Vec<String> = items(command).filter_map(written_file).map(str::to_owned).collect();
        let given = if let Input::Text(text) = &place.input { Some(text.clone()) } else { None };
        let is = |names: &[&str]| after.words.first().is_some_and(|word| names.contains(&word.text.as_str()));
        let sent = after.output.cloned().or_else(|| given.clone().filter(|_| is(&["tee"])));
        for list in sinks(command) {
            let input = sent.clone().map_or(Input::Pipe, Input::Text);
            self.visit_list(list, &place.inside().with(input), &mut scope.clone());
        }
        for file in &to {
            match after.output {
                Some(text) => self.wrote(file, text, place),
                // Text that nobody knows: a file of it that is run is like one that was fetched.
                None => self.fetched_to(file),
            }
            if after.fetched {
                self.fetched_to(file);
            }
        }
        if let (Some(text), true) = (given, is(&["tee", "dd", "sponge", "install"])) {
            for word in after.words.iter().skip(1).filter(|word| !word.text.starts_with('-')) {
                self.wrote(&word.text, &text, place);
            }
        }
    }

    /// A file that gets a text.
    fn wrote(&mut self, file: &str, text: &Word, place: &Place) {
        if self.runs_by_itself(file) {
            self.runs_later(text, place);
        }
        if self.written.len() < KEPT_MAX {
            self.written.push((file.trim_matches(['"', '\'']).to_owned(), text.clone()));
        } else {
            self.fetched_to(file);
        }
    }
}
