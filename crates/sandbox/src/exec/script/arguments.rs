//! Which argument names the script, for interpreters whose options are known. An unknown option of an interpreter with long
//! options may take the next argument or not: then there is no answer, and the script is not held.

/// Interpreters whose way to their script is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exec) enum Family {
    Shell,
    /// A shell that is a name of busybox, or its first argument.
    Busybox,
    Python,
    Node,
    Perl,
}

impl Family {
    /// By the name of the file that runs, which its user cannot choose as freely as the first argument.
    pub(in crate::exec) fn of(path: &[u8], args: &[&[u8]]) -> Option<Self> {
        let name = base(path);
        let stem = name.iter().position(|byte| byte.is_ascii_digit()).and_then(|at| name.get(..at)).unwrap_or(name);
        match (name, stem) {
            (_, b"sh" | b"dash" | b"bash" | b"zsh" | b"ksh" | b"mksh" | b"ash") => Some(Self::Shell),
            (b"busybox", _) => args.first().is_some_and(|arg| shell(arg) || base(arg) == b"busybox").then_some(Self::Busybox),
            (_, b"python") => Some(Self::Python),
            (b"node" | b"nodejs", _) => Some(Self::Node),
            (_, b"perl") => Some(Self::Perl),
            _ => None,
        }
    }

    /// How often it opens its script. Python looks first whether it is an archive.
    pub(super) const fn opens(self) -> u32 {
        match self {
            Self::Python => 2,
            Self::Shell | Self::Busybox | Self::Node | Self::Perl => 1,
        }
    }

    /// Index of the script in the arguments, where they name one.
    pub(super) fn script(self, args: &[&[u8]]) -> Option<usize> {
        match self {
            Self::Shell => after_options(args, 1, shell_option),
            Self::Busybox if args.first().is_some_and(|arg| shell(arg)) => after_options(args, 1, shell_option),
            Self::Busybox => args.get(1).filter(|arg| shell(arg)).and_then(|_| after_options(args, 2, shell_option)),
            Self::Python => after_options(args, 1, python_option),
            Self::Node => after_options(args, 1, node_option),
            Self::Perl => after_options(args, 1, perl_option),
        }
    }
}

/// The last name of a path.
pub(super) fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn shell(name: &[u8]) -> bool {
    matches!(base(name), b"sh" | b"ash" | b"-sh" | b"-ash" | b"hush")
}

/// What one option means for the search.
enum Means {
    /// It stands alone.
    Alone,
    /// The next argument is its value.
    Takes,
    /// There is no script, or nobody knows.
    NoScript,
}

fn after_options(args: &[&[u8]], from: usize, option: fn(&[u8]) -> Means) -> Option<usize> {
    let mut at = from;
    loop {
        let arg = args.get(at)?;
        match *arg {
            b"--" => return (at + 1 < args.len()).then_some(at + 1),
            b"-" => return None,
            [b'-' | b'+', ..] => match option(arg) {
                Means::Alone => at += 1,
                Means::Takes => at += 2,
                Means::NoScript => return None,
            },
            _ => return Some(at),
        }
    }
}

fn shell_option(option: &[u8]) -> Means {
    match option {
        b"--rcfile" | b"--init-file" => Means::Takes,
        b"--emulate" => Means::Takes,
        [b'-', b'-', ..] => Means::Alone,
        // `-c` takes a command, `-s` reads standard input, wherever in the cluster.
        [_, letters @ ..] if letters.iter().any(|letter| matches!(letter, b'c' | b's')) => Means::NoScript,
        [_, .., b'o' | b'O'] => Means::Takes,
        _ => Means::Alone,
    }
}

fn python_option(option: &[u8]) -> Means {
    if option == b"--check-hash-based-pycs" {
        return Means::Takes;
    }
    if option.starts_with(b"--") {
        return Means::NoScript;
    }
    let letters = option.get(1..).unwrap_or_default();
    let with_value = letters.iter().position(|letter| matches!(letter, b'c' | b'm' | b'W' | b'X' | b'Q'));
    match with_value.and_then(|at| letters.get(at).map(|letter| (letter, at + 1 == letters.len()))) {
        None => Means::Alone,
        Some((b'c' | b'm', _)) => Means::NoScript,
        Some((_, last)) => {
            if last {
                Means::Takes
            } else {
                Means::Alone
            }
        }
    }
}

fn node_option(option: &[u8]) -> Means {
    match option {
        b"-r" | b"--require" | b"--import" | b"-C" | b"--conditions" | b"--title" => Means::Takes,
        b"--no-warnings" | b"--trace-warnings" | b"--enable-source-maps" | b"--no-deprecation" | b"--trace-deprecation" => {
            Means::Alone
        }
        b"--preserve-symlinks" | b"--preserve-symlinks-main" | b"--expose-gc" | b"--throw-deprecation" => Means::Alone,
        [b'-', b'-', rest @ ..] if rest.contains(&b'=') => Means::Alone,
        _ => Means::NoScript,
    }
}

fn perl_option(option: &[u8]) -> Means {
    match option {
        b"-I" => Means::Takes,
        [b'-', b'I' | b'm' | b'M' | b'0'..=b'9' | b'C' | b'D' | b'F' | b'i' | b'l' | b'V' | b'd', ..] => Means::Alone,
        [b'-', letters @ ..] if letters.iter().all(|letter| b"acfnpsStTuUvwWX".contains(letter)) && !letters.contains(&b'S') => {
            Means::Alone
        }
        _ => Means::NoScript,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &str, args: &str) -> Option<String> {
        let args: Vec<&[u8]> = args.split(' ').map(str::as_bytes).collect();
        let at = Family::of(path.as_bytes(), &args)?.script(&args)?;
        Some(String::from_utf8(args[at].to_vec()).unwrap())
    }

    #[test]
    fn the_script_is_found_behind_options() {
        for (path, args, found) in [
            ("/usr/bin/dash", "sh job.sh -c x", Some("job.sh")),
            ("/usr/bin/bash", "bash -eu -o pipefail job.sh", Some("job.sh")),
            ("/usr/bin/bash", "bash -euo pipefail -- job.sh", Some("job.sh")),
            ("/usr/bin/bash", "bash --norc --rcfile rc +x job.sh", Some("job.sh")),
            ("/usr/bin/bash", "bash -ec job.sh", None),
            ("/usr/bin/bash", "bash -s job.sh", None),
            ("/usr/bin/bash", "bash", None),
            ("/usr/bin/zsh", "zsh -f job.sh", Some("job.sh")),
            ("/bin/busybox", "busybox sh -x job.sh", Some("job.sh")),
            ("/bin/busybox", "sh job.sh", Some("job.sh")),
            ("/bin/busybox", "busybox ls job.sh", None),
            ("/usr/bin/python3.11", "python3 -u -W ignore -Xdev app.py x", Some("app.py")),
            ("/usr/bin/python3.11", "python3 -um http.server", None),
            ("/usr/bin/python3.11", "python3 -", None),
            ("/usr/bin/node", "node -r dotenv --title=x app.js", Some("app.js")),
            ("/usr/bin/node", "node --unknown app.js", None),
            ("/usr/bin/node", "node -e 1", None),
            ("/usr/bin/perl", "perl -w -I lib x.pl", Some("x.pl")),
            ("/usr/bin/perl", "perl -ne print x.pl", None),
            ("/usr/bin/ruby", "ruby x.rb", None),
        ] {
            assert_eq!(script(path, args).as_deref(), found, "{args}");
        }
    }
}
