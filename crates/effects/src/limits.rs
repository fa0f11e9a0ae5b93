//! Every bound of this crate, in one place. Each is tested at n and n+1.

/// Words of one command.
pub const ARGV_WORDS_MAX: usize = 4096;

/// Bytes of one command's words and of its script text together.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;

/// Changes of the environment that one command carries.
pub const ENV_CHANGES_MAX: usize = 512;

/// Bytes of one shell text that is parsed.
pub const SHELL_BYTES_MAX: usize = 64 << 10;

/// Tokens of one shell text.
pub const SHELL_TOKENS_MAX: usize = 16_384;

/// Openings of `$(`, `${` and `$[` in one shell text. The tokenizer recurses into each, and which of them are closed cannot
/// be told without tokenizing, so that all are counted.
pub const SHELL_OPENINGS_MAX: usize = 192;

/// Compound commands within each other: each costs several frames of the parser's stack.
pub const COMPOUND_DEPTH_MAX: usize = 24;

/// Parentheses within each other: what begins like arithmetic is tried twice, so that time doubles with each.
pub const PAREN_DEPTH_MAX: usize = 6;

/// `case` within `case`: a last item is tried twice.
pub const CASE_DEPTH_MAX: usize = 5;

/// Words inside one `[[ … ]]`: its tree is as deep as they are many.
pub const TEST_WORDS_MAX: usize = 128;

/// `[` in a word that begins like an assignment to an element: the parser tries each twice.
pub const SUBSCRIPTS_MAX: usize = 4;

/// Substitutions and quotes within each other in one word.
pub const WORD_DEPTH_MAX: usize = 12;

/// Fields that one word expands to.
pub const FIELDS_MAX: usize = 64;

/// Scripts within scripts and launchers before commands.
pub const NESTING_MAX: usize = 12;

/// Simple commands of one reading, with all that is inside them.
pub const COMMANDS_MAX: usize = 512;

/// Bytes of shell text parsed for one reading, with all that is inside it, each time it is read again.
pub const PARSED_BYTES_MAX: usize = 384 << 10;

/// Findings of one reading.
pub const FINDINGS_MAX: usize = 256;

/// Programs that a script gives another path; with more, what is run by its path is unknown.
pub const RENAMED_MAX: usize = 32;

/// Directories with credentials that a script enters; more is unknown.
pub const DIRS_MAX: usize = 4;

/// Texts written to files, and values of variables, that are kept to be looked at again.
pub const KEPT_MAX: usize = 32;

/// Reasons of one kind in one reading.
pub const REASONS_MAX: usize = 64;

/// Bytes of one text in a reading.
pub const TEXT_BYTES_MAX: usize = 512;

/// Pieces of one argument that are looked at as paths.
pub const PIECES_MAX: usize = 128;

/// Bytes of SQL that are read; more is unclear.
pub const SQL_BYTES_MAX: usize = 32 << 10;

/// Bytes of one file of the catalogue.
pub const CATALOGUE_BYTES_MAX: usize = 256 << 10;

/// Bytes of one message of the worker's protocol.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
