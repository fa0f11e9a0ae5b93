//! What the authority asks of the signer process, over one pair of connected sockets: length, then JSON. The signer never
//! reads anything that came from a network, and answers one question after the other.

use super::desktop::KeyringTrouble;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Longest message, in bytes: a link with many grants is far below it.
pub const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Bytes in JSON, as base64url.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl Drop for Blob {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        s.serialize_str(&base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(d)?;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A question.
#[derive(Serialize, Deserialize)]
pub enum Question {
    /// How things stand.
    Status,
    /// Make the root key and seal it under this passphrase.
    Init {
        /// The passphrase.
        passphrase: Blob,
    },
    /// Open the seal with a passphrase or the recovery key.
    Unseal {
        /// Either.
        passphrase: Blob,
    },
    /// Add a copy that the desktop's keyring opens, in place of one that there is.
    AddKeyring {
        /// The passphrase or the recovery key.
        passphrase: Blob,
    },
    /// Take a copy for the keyring out of the seal.
    RemoveCopy {
        /// The passphrase or the recovery key.
        passphrase: Blob,
        /// Its id.
        id: u64,
    },
    /// Is this the passphrase? Asked for every act that widens authority (I14).
    Check {
        /// The passphrase.
        passphrase: Blob,
    },
    /// Sign link 0 with these claims.
    SignLink {
        /// Claims as JSON.
        claims: String,
    },
    /// The last checkpoint that was signed, as text.
    Last,
    /// Sign a checkpoint, if it extends the last one.
    SignCheckpoint {
        /// Its text (C2SP tlog-checkpoint).
        checkpoint: String,
        /// Consistency proof from the last size that was signed.
        proof: Vec<[u8; 32]>,
    },
    /// Tag the hash of a snapshot of the state.
    Vouch {
        /// SHA-256 of what it holds.
        snapshot: [u8; 32],
    },
    /// The term under which new keys are wrapped.
    Term,
    /// Wrap a key of the secrets file.
    Wrap {
        /// Under which term.
        term: u64,
        /// What it is bound to.
        aad: Blob,
        /// The key.
        key: Blob,
    },
    /// Unwrap one.
    Unwrap {
        /// Under which term it was wrapped.
        term: u64,
        /// What it is bound to.
        aad: Blob,
        /// The wrapped key.
        wrapped: Blob,
    },
}

/// An answer.
#[derive(Serialize, Deserialize)]
pub enum Answer {
    /// How things stand.
    Status {
        /// Whether a root key exists.
        initialised: bool,
        /// Whether it is out of reach until the passphrase comes.
        sealed: bool,
        /// Public keys, once open.
        keys: Option<Keys>,
        /// Ways to open the seal.
        copies: Vec<Copy>,
    },
    /// The ways to open the seal, after a change.
    Copies(Vec<Copy>),
    /// The desktop's keyring does not help.
    Keyring(KeyringTrouble),
    /// The root key exists now.
    Initialised {
        /// Shown once.
        recovery_key: Blob,
        /// Public keys.
        keys: Keys,
    },
    /// The seal is open.
    Open(Keys),
    /// Yes or no.
    Checked(bool),
    /// A signed link or note.
    Text(String),
    /// The last checkpoint, if there was one.
    Last(Option<String>),
    /// The checkpoint does not extend what was signed before: the journal was changed.
    Forked(String),
    /// A term.
    Term(u64),
    /// A wrapped or unwrapped key.
    Bytes(Blob),
    /// No, and why.
    Refused(String),
}

/// One way to open the seal.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Copy {
    /// Its id in the seal.
    pub id: u64,
    /// `passphrase`, `recovery-key`, `service-credential`, `keyring`.
    pub way: String,
    /// What it protects, and what not.
    pub protects: String,
}

/// What others verify with.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Keys {
    /// Identity of the journal.
    pub instance: [u8; 16],
    /// Public key of link 0.
    pub root: [u8; 32],
    /// Verifier key of checkpoints.
    pub vkey: String,
    /// Name of the log: the origin of its checkpoints.
    pub origin: String,
}

/// Sends one message.
///
/// # Errors
/// Where the other side is gone, or the message is over [`MESSAGE_BYTES_MAX`].
pub fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(message)?;
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= MESSAGE_BYTES_MAX);
    let len = len.ok_or_else(|| io::Error::other("the message is too long"))?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(&bytes)?;
    zeroize::Zeroize::zeroize(&mut bytes);
    stream.flush()
}

/// Receives one message; `None` when the other side closed.
///
/// # Errors
/// Where the message is cut, too long or no such message.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0u8; 4];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let len = u32::from_be_bytes(head);
    if len > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("the message is too long"));
    }
    let mut bytes = vec![0u8; len as usize];
    stream.read_exact(&mut bytes)?;
    let value = serde_json::from_slice(&bytes).map_err(io::Error::other);
    zeroize::Zeroize::zeroize(&mut bytes);
    value.map(Some)
}
