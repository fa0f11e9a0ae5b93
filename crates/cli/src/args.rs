//! What people type. A verb is here when it is built.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Your agents use GitHub, Slack and model providers. They never hold a key.
#[derive(Debug, Parser)]
#[command(name = "marque", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the authority keeps its journal and sealed secrets.
    #[arg(long, global = true, env = "MARQUE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where clients remember what they were told, outside the data directory.
    #[arg(long, global = true, env = "MARQUE_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read the passphrase from this descriptor instead of the terminal.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) auth_fd: Option<i32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an agent in a session: it uses credentials and never holds one.
    Run(RunArgs),
    /// What an agent started here could use: credentials in this shell, dotfiles, agents' configs and processes.
    Scan(ScanArgs),
    /// Run the authority in the foreground.
    Serve(ServeArgs),
    /// Run a witness, as another user or on another host: it remembers how far a journal was, and cosigns what extends it.
    Witness(WitnessArgs),
    #[command(hide = true, name = "authority-process")]
    Authority(AuthorityArgs),
    /// Show the running authority.
    Status,
    /// Open the seal of a running authority, or start one and open it. Needs the passphrase, or the recovery key.
    Unseal,
    /// What opens the seal: list, add, remove.
    #[command(subcommand)]
    Seal(SealCommand),
    /// Stop the running authority; its sessions end.
    Stop,
    /// Sessions: list, show, tighten, close.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Credentials: values go in, never out.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// The journal: lineage, receipts, verification.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Service profiles: list, show, check, apply.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Task files: put one in force as it is now.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Environments: which hosts, accounts and resources belong to which.
    #[command(subcommand)]
    Environment(EnvironmentCommand),
    /// Approvals: what waits for a human, and the answers.
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Humans: who answers for sessions, and how one is erased.
    #[command(subcommand)]
    Human(HumanCommand),
    /// Policies: check and try packs, put them in force, explain.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Why the last request of a session was refused; of one that is over by its whole id.
    Why(WhyArgs),
    /// Explain an error code.
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Task file: purpose, grants, environment, end.
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Why, in a few words. Signed into the session.
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// What the agent may do: `github repo.read,pr.* on acme/*`, or RFC 9396 JSON. Repeatable.
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<String>,
    /// Environment of the session and of its credentials.
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// `enforce` applies grants and policy; `observe` records what would have been refused.
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Hard end: `90s`, `30m`, `2h`.
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<String>,
    /// Ticket, change or pull request. Repeatable.
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) refs: Vec<String>,
    /// Weakest containment grade that is accepted.
    #[arg(long, value_name = "GRADE")]
    pub(crate) require: Option<String>,
    /// Run the agent as yourself, without a sandbox: grade D.
    #[arg(long, conflicts_with_all = ["workspace", "show", "writable", "publish"])]
    pub(crate) uncontained: bool,
    /// What the agent gets of the current directory: `shared` is the directory itself, `copy` a copy whose changes you read.
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) workspace: Option<WorkspaceMode>,
    /// A file or directory that the agent may read, beside the system's and the workspace. Repeatable.
    #[arg(long = "show", value_name = "PATH")]
    pub(crate) show: Vec<PathBuf>,
    /// A file or directory that the agent may write, beside the workspace. Repeatable.
    #[arg(long = "writable", value_name = "PATH")]
    pub(crate) writable: Vec<PathBuf>,
    /// A port of the agent's own servers that you can reach at the same port of `localhost`, or at another: `3000`, `3000:8080`.
    #[arg(long = "publish", value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// Accept a named risk: `uncontained`.
    #[arg(long = "accept-risk", value_name = "RISK")]
    pub(crate) accept: Vec<String>,
    /// A host without a credential: `https://host`, or `@package-registries`. Repeatable.
    #[arg(long = "egress", value_name = "HOST")]
    pub(crate) egress: Vec<String>,
    /// Address of a host without a credential that is on this machine or network: `host:port=address`.
    #[arg(long = "pin", value_name = "PIN")]
    pub(crate) pins: Vec<String>,
    /// Let a variable of this name through to the agent.
    #[arg(long = "pass", value_name = "NAME")]
    pub(crate) pass: Vec<String>,
    /// Set a variable for the agent: `NAME=value`. Not for secrets.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Name of the agent; by default the program's.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Write what happened as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub(crate) json_events: Option<PathBuf>,
    /// The agent and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// What an agent gets of the directory that it is started in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WorkspaceMode {
    /// The directory itself.
    Shared,
    /// A copy.
    Copy,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Directories and files to look at beside home, shell and processes. Default: the current directory.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// List everything.
    #[arg(long)]
    pub(crate) all: bool,
    /// Exit with 8 when a credential was found.
    #[arg(long)]
    pub(crate) fail: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Check a task file; no authority is needed.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Put a task file in force as it is now: show what changed, and ask for the passphrase. The first run of a file does
    /// the same; after that a changed file opens no session until it was applied again.
    Apply {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SealCommand {
    /// Ways to open the seal, and what each protects.
    List,
    /// Let another thing open the seal: `keyring`, the keyring of this desktop. It protects at rest only: any process of the
    /// user can ask for it. Needs the passphrase.
    Add {
        /// `keyring`.
        #[arg(value_parser = ["keyring"])]
        way: String,
    },
    /// Take a copy for a keyring away. Needs the passphrase.
    Remove {
        /// Its id, as `list` shows it.
        id: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Open the seal at start, without the passphrase: `keyring`, after `marque seal add keyring`. It protects at rest only: any
    /// process of the user can ask for it.
    #[arg(long, value_name = "WAY", value_parser = ["keyring"])]
    pub(crate) unseal: Option<String>,
    /// PEM file of certificates that are believed upstream beside the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// A witness that is shown every checkpoint: its address and the file with its verifier key. Repeatable; kept for later
    /// starts; `none` forgets.
    #[arg(long = "witness", value_name = "URL=FILE", env = "MARQUE_WITNESS", value_delimiter = ',')]
    pub(crate) witnesses: Vec<String>,
    /// Weaker passphrase stretching, for tests.
    #[arg(long, hide = true)]
    pub(crate) fast_passphrase: bool,
    /// Bytes of a journal segment, of the reserve, of the free-space floor, and that one session may cause, for tests.
    #[arg(long, hide = true, value_name = "SEG,RES,FLOOR[,SESSION]")]
    pub(crate) journal_limits: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Address to listen at. Signatures say who speaks, so the connection needs no secret.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7350")]
    pub(crate) listen: std::net::SocketAddr,
    /// Its own directory: its key, and the latest checkpoint of each log.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Verifier key of a log, as `journal/log.vkey` of its data directory holds it. Repeatable; kept.
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuthorityArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Live sessions; with `--all` those of the past too, in the order in which they were opened.
    List {
        /// Past ones too, from the journal.
        #[arg(long)]
        all: bool,
        /// Sessions on the page.
        #[arg(long, default_value_t = 100, value_name = "N", requires = "all")]
        limit: u64,
        /// Where the page begins: what the page before ended with.
        #[arg(long, value_name = "CURSOR", requires = "all")]
        after: Option<u64>,
    },
    /// One session.
    Show {
        /// Its id, or the beginning of it.
        session: String,
    },
    /// Write the smallest task file that would have worked, from what a session used: to standard output.
    Tighten {
        /// Its id; the beginning of it is enough for a live session.
        session: String,
    },
    /// End a session now.
    Close {
        /// Its id, or the beginning of it.
        session: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Add a credential, or a new version of one. The value comes from standard input.
    Add {
        /// Name for people.
        name: String,
        /// Service profile, or `http`; `vault` for the token of a vault.
        #[arg(long)]
        service: String,
        /// Environment.
        #[arg(long)]
        env: String,
        /// Where it may go: `api=https://api.example.com`. Default: the profile's hosts. Repeatable.
        #[arg(long = "host", value_name = "[ALIAS=]ORIGIN")]
        hosts: Vec<String>,
        /// In which slot: `bearer`, `basic USER`, `header NAME`, `query NAME`, `cookie NAME`, `path N`, …
        #[arg(long = "place", value_name = "SLOT")]
        placement: Option<String>,
        /// Address of a host on this machine or network: `host:port=address`. Repeatable.
        #[arg(long = "pin", value_name = "PIN")]
        pins: Vec<String>,
        /// Resources that this account is for: `acme/*`. Repeatable.
        #[arg(long = "resource", value_name = "PATTERN")]
        resources: Vec<String>,
        /// Where the value is: `env:NAME`, `file:/path`, `cmd:program arg`, `vault:MOUNT/PATH#FIELD`.
        #[arg(long = "from", value_name = "REFERENCE")]
        reference: Option<String>,
    },
    /// All credentials, without values.
    List,
    /// Remove a credential.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Who authorised what: human, links, uses and refusals of a session.
    Lineage {
        /// Its id, or the beginning of it.
        session: String,
    },
    /// Find records. Everything that is given has to hold; an answer is checked to be complete.
    Search(Box<SearchArgs>),
    /// Print the newest records, and those that follow.
    Tail {
        /// How many there are at first.
        #[arg(long, default_value_t = 10, value_name = "N")]
        limit: u64,
        /// Go on with what comes.
        #[arg(long)]
        follow: bool,
    },
    /// Check the journal's files: order, backlinks, tree, signatures, and every checkpoint that is given.
    Verify {
        /// A checkpoint (cosigned or not), receipt or mark that was kept elsewhere, or a witness's directory. Repeatable.
        #[arg(long = "against", value_name = "FILE")]
        against: Vec<PathBuf>,
        /// A witness that is asked: its address and the file with its verifier key. Repeatable.
        #[arg(long = "witness", value_name = "URL=FILE")]
        witnesses: Vec<String>,
    },
    /// Print one record.
    Show {
        /// Its sequence number.
        seq: u64,
    },
    /// The receipt of a record: verifies offline.
    Receipt {
        /// Its sequence number.
        seq: u64,
    },
    /// Print the latest checkpoint.
    Checkpoint,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Session: its id; the beginning of it is enough for a live one.
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// `jti` of a link.
    #[arg(long, value_name = "JTI")]
    pub(crate) leaf: Option<String>,
    /// Credential: its name; of a removed one, its id.
    #[arg(long, value_name = "NAME")]
    pub(crate) credential: Option<String>,
    /// Who answers for it, by pseudonym.
    #[arg(long)]
    pub(crate) human: Option<String>,
    /// Service, or a host that observe mode let pass.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Operation, or its beginning: `pr.*`.
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
    /// Resource, or its beginning: `acme/*`.
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: Option<String>,
    /// Effect: `read`, `write`, `destructive`, `reveal`, `grant`, `unparsed`.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// Decision: `allowed`, `approved`, `denied`, `asked`, `passed`.
    #[arg(long)]
    pub(crate) decision: Option<String>,
    /// Code of a refusal: `MQ-2104`.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Kind of record: `use.intent`, `session.open`, …
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Ticket, change or pull request of the session.
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// Not before: `2h`, `2026-11-22`, `2026-11-22T08:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Not after, in the same forms.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Records on the page.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: u64,
    /// Where the page begins: what the page before ended with.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Names of the shipped profiles.
    List,
    /// One profile, as it is.
    Show {
        /// Its name.
        name: String,
    },
    /// Run every example of a profile file.
    Check {
        /// The file; without it, every shipped profile.
        file: Option<PathBuf>,
    },
    /// Let a profile of your own take effect, by digest. Sessions that are open keep what they have.
    Apply {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// Register something to an environment: `production resource github 'acme/payments-*'`. Needs the passphrase.
    Add {
        /// The environment.
        environment: String,
        /// `host NAME`, `account SERVICE NAME`, `database SERVICE NAME`, `resource SERVICE PATTERN`.
        #[arg(required = true, num_args = 2..=3, value_name = "WHAT")]
        what: Vec<String>,
    },
    /// Every entry.
    List,
    /// The entries of one environment.
    Show {
        /// The environment.
        environment: String,
    },
    /// Where something belongs, and which entry says so.
    Check {
        /// `host NAME`, `account SERVICE NAME`, `database SERVICE NAME`, `resource SERVICE NAME`.
        #[arg(required = true, num_args = 2..=3, value_name = "WHAT")]
        what: Vec<String>,
    },
    /// Take an entry out. Needs the passphrase.
    Remove {
        /// The entry as it was registered.
        #[arg(required = true, num_args = 2..=4, value_name = "WHAT")]
        what: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// Questions of live sessions.
    List,
    /// One question: what exactly would be done, why, for whom.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Say yes to exactly this. Needs the passphrase.
    Approve {
        /// Its id, or the beginning of it.
        id: String,
        /// Fewer uses than the rule allows.
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        uses: u32,
        /// A shorter life than the rule allows: `60s`, `10m`.
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
    },
    /// Say no.
    Deny {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Print questions as they come.
    Watch,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HumanCommand {
    /// Every human that the journal knows, by pseudonym.
    List,
    /// One human.
    Show {
        /// Pseudonym or the beginning of it, name of the system's user, or his number.
        human: String,
    },
    /// Destroy what can be read of a human: purposes, references, addresses, and which user he was. The records stay and
    /// verify. Cannot be undone. Needs the passphrase.
    Erase {
        /// Pseudonym or the beginning of it, name of the system's user, or his number.
        human: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Packs in force.
    List,
    /// Read pack files as the authority would, with the assertions beside them (`NAME.test.toml`).
    Check {
        /// `.cedar` files, each a pack.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The same, and insist on assertions.
    Test {
        /// `.cedar` files, each a pack.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// The Cedar schema that packs are checked against.
    Schema,
    /// Put a pack in force, by digest. Needs the passphrase.
    Apply {
        /// A `.cedar` file; its assertions stand beside it.
        file: PathBuf,
    },
    /// Take an applied pack out of force. Needs the passphrase.
    Remove {
        /// Its name.
        name: String,
    },
    /// What policy says to a request, by which rule, and what would change it.
    Explain(PolicyExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyExplainArgs {
    /// For example `github/git.push`.
    #[arg(long, value_name = "SERVICE/OPERATION")]
    pub(crate) action: String,
    /// For example `acme/web@main`.
    #[arg(long)]
    pub(crate) resource: String,
    /// Environment of the resource.
    #[arg(long, value_name = "ENV")]
    pub(crate) env: String,
    /// Its effect, where no profile knows the operation.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// Containment grade.
    #[arg(long, default_value = "D")]
    pub(crate) grade: String,
    /// Risk that the human accepted.
    #[arg(long = "accept-risk", value_name = "RISK")]
    pub(crate) accept: Vec<String>,
    /// Links below the root.
    #[arg(long, default_value_t = 0)]
    pub(crate) depth: u32,
    /// Uses of the session before.
    #[arg(long, default_value_t = 0)]
    pub(crate) uses: u64,
    /// Destructive uses of the session before.
    #[arg(long, default_value_t = 0)]
    pub(crate) destructive: u64,
    /// The session read text that a stranger could write.
    #[arg(long)]
    pub(crate) read_untrusted: bool,
    /// What the profile finds in the request: `NAME=VALUE`. Repeatable.
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    pub(crate) attributes: Vec<String>,
    /// A pack file beside the shipped one. Repeatable.
    #[arg(long = "pack", value_name = "FILE")]
    pub(crate) packs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The session; inside one, its own.
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// The last refusal.
    #[arg(long, required = true)]
    pub(crate) last: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// For example `MQ-2104`. Without it, all.
    pub(crate) code: Option<String>,
}
