//! Credentials that the words of a command name: files, variables, tokens, addresses with a password.

use crate::catalogue::file::{Mention, Sort, Tool, What};
use crate::catalogue::paths::sort;
use crate::classify::{Place, Walk, severe, simple};
use crate::limits::{DIRS_MAX, KEPT_MAX, PIECES_MAX};
use crate::reading::{Finding, Kind};
use crate::shell::expand::{DYNAMIC, SEARCHED, Word};
use marque_model::Effect;

/// Beginnings of options by which a client is told what it authenticates with.
const AUTHENTICATES: &[&str] =
    &["i", "identity", "key", "cert", "private-key", "config", "netrc", "password-file", "credential", "service-account", "auth", "token", "kube", "ssh-key", "E", "ca", "client", "pass", "vault", "userconfig", "var"];

/// Files that no client is given but to authenticate.
const OWN: &[&str] = &["ssh key", "login file", "cloud credentials", "keyrings and browsers", "shell history", "environment of a process", "system credentials"];

/// Ends of options whose value is a secret.
const SECRET_OPTIONS: &[&str] =
    &["password", "passwd", "passphrase", "token", "secret", "apikey", "api-key", "api_key", "access-key", "secret-key", "private-key", "storepass", "keypass", "passin", "passout", "bearer", "credentials"];

/// Beginnings of tokens that say themselves what they are.
const TOKENS: &[&str] = &[
    "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "AKIA", "ASIA", "sk-ant-", "sk-proj-", "sk_live_", "rk_live_", "xoxb-", "xoxp-", "npm_",
    "pypi-AgEI", "dop_v1_", "hvs.", "eyJhbGciOi", "-----BEGIN",
];
/// Shorter words are neither tokens nor addresses of machines.
const LITERAL_BYTES_MIN: usize = 13;
/// Shorter ones are examples and prefixes.
const TOKEN_BYTES_MIN: usize = 20;

/// Addresses that hand out a machine's own credentials.
const METADATA: &[&str] = &["169.254.169.254", "169.254.170.2", "metadata.google.internal", "fd00:ec2::254", "100.100.100.200"];

impl Walk<'_> {
    /// Everything that the words of a program name.
    pub(super) fn mentions(&mut self, tool: &Tool, name: &str, args: &[Word], place: &Place) {
        let mention = tool.paths.unwrap_or(Mention::Reveal);
        if mention != Mention::None || !tool.code.is_empty() {
            let reads = !tool.code.is_empty() || matches!(name, "xargs" | "parallel" | "make" | "cpio" | "tar");
            self.input_mentioned(name, if reads { Mention::Reveal } else { Mention::Touch }, place);
        }
        let in_place = matches!(name, "sed" | "gsed" | "perl" | "ruby") && args.iter().any(|word| word.text.starts_with("-i") || word.text.starts_with("--in-place") || word.text.ends_with("pi"));
        let last = args.iter().rposition(|word| !word.text.starts_with('-'));
        for (index, word) in args.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|at| args.get(at)).map_or("", |word| word.text.as_str());
            let option = word.text.split_once('=').map_or(before, |(name, _)| name);
            if tool.network && mention == Mention::Touch && !AUTHENTICATES.iter().any(|start| option.trim_start_matches('-').starts_with(start) && option.starts_with('-')) {
                self.sent(word, name, place);
            }
            self.secret_option(word, args.get(index + 1), name, place);
            let output = ["--output=", "--out=", "--log-file=", "--logfile="].iter().find_map(|option| word.text.strip_prefix(option));
            if let Some(file) = output.map(str::to_owned) {
                self.paths(&Word { text: file, ..word.clone() }, name, Mention::Write, place);
            }
            let written = tool.writes_last && Some(index) == last && index > 0;
            self.mention(word, name, if written { Mention::Write } else { mention }, place);
            if in_place {
                self.paths(word, name, Mention::Write, place);
            }
            if matches!(name, "echo" | "printf") || (mention == Mention::Reveal && !tool.network) {
                self.variables_shown(word, name, place);
            }
        }
    }

    /// An option whose name says that its value is a secret.
    pub(super) fn secret_option(&mut self, word: &Word, next: Option<&Word>, tool: &str, place: &Place) {
        let Some(option) = word.text.strip_prefix('-') else { return };
        let (option, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let value = value.or_else(|| next.map(|next| next.text.as_str()).filter(|next| !next.starts_with('-'))).unwrap_or_default();
        let option = option.to_ascii_lowercase();
        if !value.is_empty() && option.len() < 40 && SECRET_OPTIONS.iter().any(|end| option.ends_with(end)) {
            self.find(simple(tool, "option.secret", Kind::Read, &option, Some("a secret among the words")), place);
        }
    }

    /// What one word names.
    pub(crate) fn mention(&mut self, word: &Word, tool: &str, mention: Mention, place: &Place) {
        self.paths(word, tool, mention, place);
        for name in &word.variables {
            if self.catalogue.variable(name).is_some_and(|rule| rule.what == What::Credential) && !matches!(tool, "[" | "test") {
                let found = simple(tool, "variable.used", Kind::Read, name, Some(&format!("variable {name}")));
                self.find(found, place);
            }
        }
        self.literals(word, tool, place);
    }

    /// Variables whose values are printed.
    pub(crate) fn variables_shown(&mut self, word: &Word, tool: &str, place: &Place) {
        for name in &word.variables {
            if self.catalogue.variable(name).is_some_and(|rule| rule.what == What::Credential) {
                self.reveal(tool, "variable.shown", &format!("variable {name}"), place);
            }
        }
    }

    fn literals(&mut self, word: &Word, tool: &str, place: &Place) {
        if word.text.len() < LITERAL_BYTES_MIN && !word.text.contains("://") {
            return;
        }
        for piece in word.text.split([' ', '=', ':', '"', '\'', ',', '@']).take(PIECES_MAX) {
            if piece.len() >= TOKEN_BYTES_MIN && TOKENS.iter().any(|token| piece.starts_with(token)) {
                self.find(simple(tool, "token.literal", Kind::Read, "", Some("a token among the words")), place);
            }
        }
        if METADATA.iter().any(|host| word.text.contains(host)) {
            self.reveal(tool, "metadata", "the machine's own credentials", place);
        }
        if let Some((_, rest)) = word.text.split_once("://") {
            let authority = rest.split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or_default();
            let web = word.text.contains("http://") || word.text.contains("https://");
            if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':') || (web && !user.is_empty())) {
                self.find(simple(tool, "address.password", Kind::Read, &word.text, Some("a password in an address")), place);
            }
        }
    }

    /// Files that a word names.
    pub(crate) fn paths(&mut self, word: &Word, tool: &str, mention: Mention, place: &Place) {
        if mention == Mention::None {
            return;
        }
        let whole: Vec<String> = if word.is_dynamic() {
            word.perhaps.iter().take(KEPT_MAX).map(|text| word.text.replacen(DYNAMIC, text, 1)).filter(|text| text.contains(['/', '~'])).collect()
        } else {
            Vec::new()
        };
        for text in word.perhaps.iter().chain(&whole).map(String::as_str).chain([word.text.as_str()]) {
            // An address is no path; a text that holds one may hold paths too.
            let address = text.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
            if address && !text.contains("file://") {
                continue;
            }
            self.path(text, word.pattern, tool, mention, place);
            for piece in pieces(text).take(PIECES_MAX) {
                self.path(piece, word.pattern, tool, mention, place);
            }
        }
    }

    /// Whether what lies at that path is run later, by itself.
    pub(crate) fn runs_by_itself(&self, path: &str) -> bool {
        sort(&self.catalogue.paths, path.trim_matches(['"', '\'']), false).is_some_and(|rule| rule.sort == Sort::Persistence)
    }

    /// A text that is run later: what it names and what it would do.
    pub(crate) fn runs_later(&mut self, text: &Word, place: &Place) {
        self.paths(text, "shell", Mention::Reveal, place);
        self.rubble(&text.text, &place.guess());
    }

    /// A directory that is entered: names in it are credentials without saying so.
    pub(crate) fn enters(&mut self, dir: &str) {
        let dir = dir.trim_matches(DYNAMIC).replace(DYNAMIC, "*");
        let holds = sort(&self.catalogue.paths, &dir, false).is_some_and(|rule| rule.sort == Sort::Credential && rule.name != "home directory");
        if !holds && !dir.starts_with("/proc/") || self.dirs.contains(&dir) {
            return;
        }
        if self.dirs.len() < DIRS_MAX {
            self.dirs.push(dir);
        } else {
            self.reading.doubt("more directories with credentials are entered than are followed");
        }
    }

    fn path(&mut self, text: &str, pattern: bool, tool: &str, mention: Mention, place: &Place) {
        if !text.starts_with(['/', '~', '-']) {
            for dir in self.dirs.clone() {
                self.path_at(&format!("{dir}/{text}"), pattern, tool, mention, place);
            }
        }
        self.path_at(text, pattern, tool, mention, place);
    }

    fn path_at(&mut self, text: &str, pattern: bool, tool: &str, mention: Mention, place: &Place) {
        if text == SEARCHED {
            return self.searched(tool, mention, place);
        }
        // What is not known may be any one name, but does not make a path of nothing.
        let begun = text.ends_with(DYNAMIC) && text.trim_matches(DYNAMIC).rsplit('/').next().is_some_and(|last| last.starts_with('.') && last.len() > 2);
        let text = text.trim_matches(DYNAMIC).replace(DYNAMIC, "*") + if begun { "*" } else { "" };
        let Some(rule) = sort(&self.catalogue.paths, &text, pattern || text.contains('*')) else { return };
        let (sort, what) = (rule.sort, rule.name.clone());
        // A whole home is only meant by what reads everything below it.
        if what == "home directory" && mention != Mention::Reveal {
            return;
        }
        match (sort, mention) {
            (_, Mention::None) => {}
            (Sort::Credential, Mention::Touch) => self.find(simple(tool, "file.used", Kind::Read, &text, Some(&what)), place),
            (Sort::Credential, Mention::Reveal) => self.find(simple(tool, "file.read", Kind::CredentialReveal, &text, Some(&what)), place),
            (Sort::Credential, Mention::Write) => {
                let mut found = simple(tool, "file.written", Kind::Write, &text, Some(&what));
                // A file of variables in the workspace is written every day; a login that is stored is not.
                found.severe = what != "environment file";
                self.find(found, place);
            }
            (Sort::Credential, Mention::Remove) => self.find(simple(tool, "file.removed", Kind::Destructive, &text, Some(&what)), place),
            (Sort::Persistence, Mention::Write | Mention::Remove) => {
                let trust = text.contains(".ssh/").then(|| "whom ssh trusts".to_owned());
                self.find(Finding { credential: trust, ..severe(tool, "persistence", Effect::Grant, &text) }, place);
            }
            (Sort::Persistence, _) => {}
            (Sort::Socket, _) => {
                let road = Some("another program's authority".to_owned());
                self.find(Finding { credential: road, ..severe(tool, "socket", Effect::Grant, &text) }, place);
            }
            (Sort::Device, Mention::Write | Mention::Remove) => {
                let mut found = severe(tool, "device", Effect::Destructive, &text);
                found.kind = Kind::Destructive;
                self.find(found, place);
            }
            (Sort::Device, _) => {
                let found = severe(tool, "device", Effect::Write, &text);
                self.find(Finding { credential: Some("everything on a disk".to_owned()), ..found }, place);
            }
        }
    }
}

impl Walk<'_> {
    /// A file that a client is given, not to authenticate: it is sent.
    fn sent(&mut self, word: &Word, tool: &str, place: &Place) {
        let text = word.text.trim_matches(DYNAMIC).replace(DYNAMIC, "*");
        for piece in [text.as_str()].into_iter().chain(pieces(&text)).take(PIECES_MAX) {
            let what = sort(&self.catalogue.paths, piece, word.pattern).filter(|rule| OWN.contains(&rule.name.as_str()));
            if let Some(what) = what.map(|rule| rule.name.clone()) {
                self.reveal(tool, "file.sent", &what, place);
            }
        }
    }

    /// What a search for credentials has found.
    fn searched(&mut self, tool: &str, mention: Mention, place: &Place) {
        let kind = match mention {
            Mention::None => return,
            Mention::Touch => Kind::Read,
            Mention::Reveal => Kind::CredentialReveal,
            Mention::Write => Kind::Write,
            Mention::Remove => Kind::Destructive,
        };
        self.find(simple(tool, "file.searched", kind, "", Some("what a search for credentials finds")), place);
    }
}

/// Parts of a word that may be paths by themselves: `@file`, `name=file`, `user@host:file`, a path in a text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '=', '@', ',', '"', '\'', '(', ')', ';', '\n', '\t', '<', '>', '|', '`', '{', '}', ':', '[', ']', '!', '%', '$', '#'])
        .filter(|piece| piece.len() > 2 && piece.contains(['/', '.', '_', '~']))
}
