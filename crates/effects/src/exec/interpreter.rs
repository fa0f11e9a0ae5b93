//! Code of other languages. No attempt is made to prove anything: it is opaque, bounded by files, network and the judgment of
//! each command that it starts. What stands in it raises a reading and never lowers one.

use crate::catalogue::file::{Mention, Tool, What};
use crate::classify::{Input, Place, Walk, severe, simple};
use crate::limits::PIECES_MAX;
use crate::reading::Kind;
use crate::shell::expand::{Scope, Word};
use marque_model::Effect;

/// Text by which code starts programs.
const STARTS: &[&str] = &[
    "subprocess", "os.system", "os.popen", "os.exec", "os.spawn", "posix_spawn", "pty.spawn", "child_process", "execSync", "spawnSync", "shell_exec",
    "proc_open", "passthru(", "popen(", "system(", "Open3", "Process.spawn", "Kernel.exec", "do shell script", "IO.popen", "Deno.run", "Deno.Command",
    "Bun.spawn", "qx{", "qx(", "os.execute", "os:cmd", "run(`", "[exec ", "open(\"|", "open \"|", "|\"", "CDLL", "syscall(", "execv", "spawn(", "memfd_create", "Runtime.getRuntime", "ProcessBuilder", "system2(", "`", "syscmd", "Bun.$", "$`", "shell(", "call_command", "Popen", "qprocess", "osascript", "run_command", "(shell ", "(system ", "System.cmd", "System.shell", ".execute()", "exec \"", "exec '", "%x", "spawn ", "run-program", "|getline", "| getline", "$(shell", "IO.write18", "write18", "shell-command", "call-process", "start-process", "vim.fn.", "os.Process", "exec.Command", "Command::new", "std::process",
];
/// Text by which code hides code.
const HIDES: &[&str] =
    &["exec(", "eval(", "__import__", "compile(", "b64decode", "fromCharCode", "unhexlify", "fromhex", "importlib", "getattr(", "new Function", "vm.run", "pickle", "marshal", "codecs.decode", "atob(", "eval pack", "eval decode", "decode_base64", "Buffer.from(\"", "eval unpack", "base64_decode", "decode64", "gzinflate", "str_rot13", "loadstring", "unescape(", "\"base64\"", "'base64'", "assert("];
/// Libraries that find credentials by themselves.
const USES: &[&str] = &[
    "boto3", "botocore", "aws-sdk", "@aws-sdk", "google.cloud", "googleapiclient", "azure.", "kubernetes", "paramiko", "psycopg", "pymysql", "mysql.connector",
    "asyncpg", "sqlalchemy", "pymongo", "redis", "hvac", "github3", "PyGithub", "octokit", "stripe", "openai", "anthropic", "keyring", "netrc", "docker", "fabric", "slack_sdk", "twilio", "sendgrid", "HTTPBasicAuth", "requests.auth", "smtplib", "imaplib", "ftplib", "ldap", "boto", "pika", "pymssql", "cx_Oracle", "oracledb", "snowflake", "google.auth", "firebase_admin", "gspread", "msal", "jenkins", "gitlab", "dotenv",
];
/// Text by which code removes.
const REMOVES: &[&str] = &["rmtree", "os.remove", "os.unlink", "unlinkSync", "rmSync", "rmdirSync", "FileUtils.rm", "File.delete", "unlink(", ".unlink", "fs.rm(", "rimraf", "remove_dir_all", "remove_tree", "delete_object", "delete_bucket", "terminate_instances", "deleteMany", "dropDatabase", "drop_database", "flushall("];
/// Statements that remove, in upper case.
const REMOVING: &[&str] = &["DROP TABLE", "DROP DATABASE", "DROP SCHEMA", "TRUNCATE ", "DELETE FROM", "FLUSHALL", "FLUSHDB"];
/// Text by which code reads its environment.
const ENVIRONMENT: &[&str] = &["ENV.to_h", "ENV.each", "ENV.inspect", "ENV.sort", "os.environ", "process.env", "ENV", "getenv", "%ENV", "$_ENV", "environ", "ENVIRON", "$_SERVER", "$env:", "$Env:", "phpinfo", "Deno.env", "Bun.env", "System.get_env", "System.getenv", "Sys.getenv", "get-environment-variable", "os.Environ", "Getenv", "getEnv", "env::var", "GetEnvironmentVariable", "$env(", "$env.", "system attribute"];

/// Whether code has text by which it starts programs.
pub(crate) fn starts_programs(code: &str) -> bool {
    STARTS.iter().any(|text| code.contains(text))
}

impl Walk<'_> {
    pub(super) fn interpreter(&mut self, tool: &Tool, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        // Code stands where an option says, whatever stands before it.
        for (index, word) in args.iter().enumerate().take(PIECES_MAX) {
            let more = args.get(index + 1..).unwrap_or_default();
            if let Some(code) = code_of(tool, word, more).filter(|code| code.text.contains([' ', '(', '.', '$'])) {
                self.code(name, code, place);
            }
        }
        let mut rest = args;
        while let Some((first, more)) = rest.split_first() {
            let option = first.text.as_str();
            if tool.code.iter().any(|code| code == "args") && !option.starts_with('-') {
                return self.signals(option, name, place);
            }
            if let Some(code) = code_of(tool, first, more) {
                let code = code.clone();
                self.code(name, &code, place);
                rest = more;
                continue;
            }
            if option == "-m" && name.starts_with("py") {
                let module: Vec<Word> = more.to_vec();
                for word in more.iter().filter(|word| word.text.contains('(')) {
                    self.signals(&word.text, name, place);
                }
                self.reading.unread(format!("{name} code"));
                self.exec(&module, &place.inside(), scope);
                return;
            }
            if matches!(name, "deno" | "bun") && option == "run" {
                rest = more;
                continue;
            }
            if name == "deno" && option == "eval" {
                for code in more.iter().filter(|word| !word.text.starts_with('-')) {
                    self.code(name, code, place);
                }
                return;
            }
            if !option.starts_with('-') || option == "-" {
                if option == "-" {
                    return self.code_input(name, place);
                }
                if option.starts_with("/dev/") {
                    self.unclear("code on a pipe", place);
                }
                self.reading.unread(format!("{name} code"));
                // A script that the catalogue knows by its name.
                let known = option.rsplit('/').next().is_some_and(|script| !self.catalogue.programs(script).is_empty());
                if known {
                    self.exec(rest, &place.inside(), scope);
                }
                return;
            }
            let takes = tool.values.iter().any(|value| value == option);
            rest = if takes { more.get(1..).unwrap_or_default() } else { more };
        }
        let given = args.iter().any(|word| code_of(tool, word, &[]).is_some() || tool.code.contains(&word.text) || word.text == "--version" || word.text == "-V" || word.text == "-v");
        if !given && !tool.code.iter().any(|code| code == "args") {
            self.code_input(name, place);
        }
    }

    fn code(&mut self, name: &str, code: &Word, place: &Place) {
        if code.text.trim_matches(crate::shell::expand::DYNAMIC).is_empty() && code.is_dynamic() {
            self.unclear("code is known only when it runs", place);
        }
        self.reading.unread(format!("{name} code"));
        self.signals(&code.text.clone(), name, place);
        self.paths(code, name, Mention::Reveal, place);
    }

    fn code_input(&mut self, name: &str, place: &Place) {
        self.reading.unread(format!("{name} code"));
        match place.input.clone() {
            Input::Text(text) => {
                self.signals(&text.text, name, place);
                self.paths(&text, name, Mention::Reveal, place);
            }
            Input::Pipe => self.unclear("code on a pipe", place),
            Input::File(_) | Input::Inherited => {}
        }
    }

    /// What the words of code say. Raises, never lowers.
    pub(crate) fn signals(&mut self, code: &str, name: &str, place: &Place) {
        if name.contains("awk") && [r#"| ""#, r#"|""#, r#"" |"#, r#""|"#].iter().any(|pipe| code.contains(pipe)) {
            self.unclear("code starts programs", place);
        }
        self.commands_in_quotes(code, place);
        let has = |list: &[&str]| list.iter().any(|text| code.contains(text));
        let imports = code.contains("import") || code.contains("require");
        if starts_programs(code) {
            self.unclear("code starts programs", place);
            // Words of a command in a list, and in a text.
            let text = code.replace("\" \"", " ").replace("\",[\"", " ").replace("\", [\"", " ").replace("', ['", " ").replace("',['", " ").replace("\",\"", " ").replace("\", \"", " ").replace("','", " ").replace("', '", " ").replace("%w", "");
            self.rubble(&text, &place.guess());
        }
        if has(HIDES) {
            self.unclear("code makes code", place);
        }
        if has(&["expanduser", "Path.home", "os.homedir", "Dir.home"]) {
            self.unclear("code looks into a home", place);
        }
        if imports && has(USES) {
            self.find(simple(name, "code.credential", Kind::Write, "", Some("what a library finds by itself")), place);
            self.unclear("code uses a library that finds credentials by itself", place);
        }
        let upper = code.to_uppercase();
        if has(REMOVES) || REMOVING.iter().any(|text| upper.contains(text)) {
            self.find(simple(name, "code.removes", Kind::Destructive, "", None), place);
        }
        if has(&["Authorization", "Bearer ", "x-api-key", "X-Api-Key", "api_key=", "password=", "passwd=", "login("]) {
            self.find(simple(name, "code.authenticates", Kind::Read, "", Some("a credential that code sends")), place);
        }
        if code.contains("/dev/tcp") || code.contains("/inet/tcp") {
            self.find(severe(name, "code.network", Effect::Write, ""), place);
        }
        self.code_environment(code, name, place);
    }

    /// Variables that a text names as shells, makefiles and editors do.
    pub(super) fn variables_in_text(&mut self, text: &str, name: &str, place: &Place) {
        for part in text.split(['$', '%']).skip(1).take(PIECES_MAX) {
            let part = part.trim_start_matches("ENV").trim_start_matches(['{', '(']);
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let variable = part.get(..end).unwrap_or_default();
            if self.catalogue.variable(variable).is_some_and(|rule| rule.what == What::Credential) {
                self.reveal(name, "text.variable", &format!("variable {variable}"), place);
            }
        }
    }

    /// Commands of clients that stand in the quotes of code, whatever starts them.
    pub(super) fn commands_in_quotes(&mut self, code: &str, place: &Place) {
        let text = code.replace("\" \"", " ").replace("\",[\"", " ").replace("\", [\"", " ").replace("', ['", " ").replace("',['", " ").replace("\",\"", " ").replace("\", \"", " ").replace("','", " ").replace("', '", " ");
        let pieces: Vec<Vec<Word>> = text.split(['"', '\'', '`', '(', ')', '{', '}', '[', ']', '\n', ';', '|'])
            .map(|piece| piece.trim_start_matches([':', '!', '%', ' ', '\t']).split_whitespace().map(Word::literal).collect::<Vec<_>>())
            .filter(|words| words.len() > 1)
            .take(PIECES_MAX)
            .collect();
        for words in pieces {
            let client = words.first().is_some_and(|word| self.catalogue.programs(&word.text).iter().any(|program| program.tool.credential.is_some()));
            if client {
                self.exec(&words, &place.guess(), &mut Scope::default());
            }
        }
    }

    /// Code that reads its environment: one variable that is no credential is nothing.
    pub(super) fn code_environment(&mut self, code: &str, name: &str, place: &Place) {
        for mark in ENVIRONMENT {
            for (at, _) in code.match_indices(mark).take(PIECES_MAX) {
                let rest = code.get(at + mark.len()..).unwrap_or_default();
                let rest = rest.trim_start_matches("ment");
                let rest = [".get", ".fetch", ".dig", ".slice", ".values_at"].iter().find_map(|call| rest.strip_prefix(call)).unwrap_or(rest).trim_start_matches(['[', '(', '.', '{', '\'', '"', ' ']);
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let variable = rest.get(..end).unwrap_or_default();
                let bare = *mark == "ENV" && (variable.is_empty() && rest.trim_end_matches(['\'', '"', ')', ';', ' ', '}']).is_empty() || matches!(variable, "to_a" | "to_s" | "map" | "select" | "filter" | "collect" | "values" | "sort_by"));
                let whole = bare || *mark != "ENV" && (variable.is_empty() || matches!(variable, "items" | "copy" | "keys" | "values" | "toObject"));
                if self.catalogue.variable(variable).is_some_and(|rule| rule.what == What::Credential) {
                    self.reveal(name, "code.variable", &format!("variable {variable}"), place);
                } else if whole {
                    self.reveal(name, "code.variables", "every variable", place);
                }
            }
        }
    }
}

/// The code that an option carries: in the next word, or attached.
fn code_of<'w>(tool: &Tool, word: &'w Word, more: &'w [Word]) -> Option<&'w Word> {
    let text = word.text.as_str();
    if tool.code.iter().any(|option| option == text) {
        return more.first();
    }
    if tool.long_dash {
        return None;
    }
    for option in &tool.code {
        let long = option.starts_with("--");
        let attached = long && text.starts_with(&format!("{option}="));
        let letter = option.chars().nth(1).unwrap_or('\0');
        // `-ne CODE`: letters may stand together, the one for code last; `-eCODE` is attached.
        let flags = text.strip_prefix('-').filter(|flags| !long && option.len() == 2 && !flags.starts_with('-'));
        let place = flags.and_then(|flags| flags.find(letter).filter(|at| flags.chars().take(*at).all(char::is_alphanumeric)));
        let cluster = flags.zip(place).is_some_and(|(flags, at)| flags.len() == at + letter.len_utf8());
        if cluster {
            return more.first();
        }
        if place.is_some() {
            return Some(word);
        }
        if attached || (!long && option.len() == 2 && text.len() > 2 && text.starts_with(option.as_str())) {
            return Some(word);
        }
    }
    None
}
