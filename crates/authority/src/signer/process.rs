//! The signer's side: one loop over one socket. It opens no file but its own three and parses nothing that came from a
//! network.

use super::desktop::{Entry, KeyringTrouble};
use super::keys::{RootKeys, hex};
use super::proto::{Answer, Blob, Copy, Keys, Question, receive, send};
use crate::{Error, random};
use marque_detect::Secret;
use marque_journal::checkpoint::{Checkpoint, may_sign};
use marque_journal::merkle::empty_root;
use marque_store::disk::{Disk, RealDisk, read_file, replace_file};
use marque_store::seal::{Provider, SealError, SealFile, Stretch};
use marque_store::sealed::{KeyWrap, Keyring};
use marque_switch::fail_point;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SEAL: &str = "seal";
const KEYRING: &str = "keyring";
const LAST: &str = "last-checkpoint";
const INSTANCE: &str = "instance";

/// Wrong passphrases in a row before the signer makes the asker wait.
pub const GUESSES_FREE: u32 = 5;
/// How long it refuses to look at passphrases then.
pub const GUESS_PAUSE: Duration = Duration::from_secs(30);

/// What the signer is started with.
#[derive(Debug, Clone)]
pub struct SignerOptions {
    /// Where its files are.
    pub dir: PathBuf,
    /// Argon2id parameters of a new passphrase; tests lower them.
    pub stretch: Stretch,
}

struct Open {
    keys: RootKeys,
    keyring: Keyring,
    public: Keys,
    last: Option<Checkpoint>,
}

/// The signer. It outlives the authority process: a restarted authority finds the seal open.
pub struct Signer {
    disk: RealDisk,
    stretch: Stretch,
    instance: Option<[u8; 16]>,
    seal: Option<SealFile>,
    open: Option<Open>,
    wrong: u32,
    paused_until: Option<Instant>,
}

fn seal_error(error: &SealError) -> Error {
    Error::SignerRefused(error.to_string())
}

fn io(path: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

impl Signer {
    /// Reads what there is. Nothing is open yet.
    ///
    /// # Errors
    /// Where its directory cannot be used, or its files are damaged.
    pub fn load(options: &SignerOptions) -> Result<Self, Error> {
        let path = options.dir.display().to_string();
        let disk = RealDisk::open(&options.dir).map_err(io(&path))?;
        let instance = read_file(&disk, INSTANCE, 64).map_err(io(INSTANCE))?;
        let instance = match instance {
            None => None,
            Some(bytes) => Some(<[u8; 16]>::try_from(bytes.as_slice()).map_err(|_| {
                Error::SignerRefused("the signer's `instance` file is damaged".into())
            })?),
        };
        let seal = match instance {
            None => None,
            Some(id) => SealFile::load(&disk, SEAL, id).map_err(|e| seal_error(&e))?,
        };
        Ok(Self { disk, stretch: options.stretch, instance, seal, open: None, wrong: 0, paused_until: None })
    }

    /// Answers questions until the other side closes.
    ///
    /// # Errors
    /// Where the socket breaks.
    pub fn serve(&mut self, stream: &mut UnixStream) -> std::io::Result<()> {
        while let Some(question) = receive::<Question>(stream)? {
            let answer = self.answer(question).unwrap_or_else(|error| match error {
                Error::Keyring(trouble) => Answer::Keyring(trouble),
                error => Answer::Refused(error.to_string()),
            });
            send(stream, &answer)?;
        }
        Ok(())
    }

    fn answer(&mut self, question: Question) -> Result<Answer, Error> {
        match question {
            Question::Status => Ok(Answer::Status {
                initialised: self.seal.is_some(),
                sealed: self.open.is_none(),
                keys: self.open.as_ref().map(|o| o.public.clone()),
                copies: self.copies(),
            }),
            Question::Init { passphrase } => self.init(&Secret::new(passphrase.0.clone())),
            Question::Unseal { passphrase } => self.unseal(&Secret::new(passphrase.0.clone())),
            Question::AddKeyring { passphrase } => self.add_keyring(&Secret::new(passphrase.0.clone())),
            Question::RemoveCopy { passphrase, id } => self.remove_copy(&Secret::new(passphrase.0.clone()), id),
            Question::Check { passphrase } => {
                self.may_guess()?;
                let seal = self.seal.as_ref().ok_or_else(closed)?;
                let right = seal.verify_passphrase(&Secret::new(passphrase.0.clone()));
                self.guessed(right);
                Ok(Answer::Checked(right))
            }
            Question::SignLink { claims } => {
                let open = self.open.as_ref().ok_or_else(closed)?;
                let claims: marque_chain::Claims =
                    serde_json::from_str(&claims).map_err(|e| Error::SignerRefused(e.to_string()))?;
                let link = marque_chain::sign_root(&claims, &open.keys.link).map_err(|e| Error::SignerRefused(e.to_string()))?;
                Ok(Answer::Text(link.compact().to_owned()))
            }
            Question::Last => {
                let open = self.open.as_ref().ok_or_else(closed)?;
                Ok(Answer::Last(open.last.as_ref().map(Checkpoint::text)))
            }
            Question::SignCheckpoint { checkpoint, proof } => self.sign_checkpoint(&checkpoint, &proof),
            Question::Vouch { snapshot } => {
                let open = self.open.as_ref().ok_or_else(closed)?;
                Ok(Answer::Bytes(Blob(open.keys.vouch(&snapshot).to_vec())))
            }
            Question::Term => {
                let open = self.open.as_mut().ok_or_else(closed)?;
                let term = open.keyring.term().map_err(|e| Error::SignerRefused(e.to_string()))?;
                Ok(Answer::Term(term))
            }
            Question::Wrap { term, aad, key } => {
                let open = self.open.as_mut().ok_or_else(closed)?;
                let key = Secret::new(key.0.clone());
                let wrapped = open.keyring.wrap(term, &aad.0, &key).map_err(|e| Error::SignerRefused(e.to_string()))?;
                Ok(Answer::Bytes(Blob(wrapped)))
            }
            Question::Unwrap { term, aad, wrapped } => {
                let open = self.open.as_mut().ok_or_else(closed)?;
                let key = open.keyring.unwrap(term, &aad.0, &wrapped.0).map_err(|e| Error::SignerRefused(e.to_string()))?;
                Ok(Answer::Bytes(Blob(key.expose().to_vec())))
            }
        }
    }

    fn may_guess(&mut self) -> Result<(), Error> {
        match self.paused_until {
            Some(until) if Instant::now() < until => {
                Err(Error::SignerRefused("too many wrong passphrases: wait half a minute".into()))
            }
            _ => Ok(()),
        }
    }

    fn guessed(&mut self, right: bool) {
        self.wrong = if right { 0 } else { self.wrong.saturating_add(1) };
        self.paused_until = (self.wrong >= GUESSES_FREE).then(|| Instant::now() + GUESS_PAUSE);
    }

    fn init(&mut self, passphrase: &Secret) -> Result<Answer, Error> {
        if self.seal.is_some() {
            return Err(Error::SignerRefused("there is a passphrase already".into()));
        }
        if passphrase.len() < 8 {
            return Err(Error::SignerRefused("the passphrase is shorter than 8 characters".into()));
        }
        let instance: [u8; 16] = random::bytes()?;
        let mut random: marque_store::sealed::Random = Box::new(fill_or_die);
        let (mut seal, root) = SealFile::create(instance, &mut random);
        seal.add_passphrase(&root, passphrase, self.stretch, &mut random).map_err(|e| seal_error(&e))?;
        let (_, recovery) = seal.add_recovery_key(&root, &mut random).map_err(|e| seal_error(&e))?;
        let mut keyring = Keyring::create(instance, Box::new(fill_or_die));
        keyring.save(&self.disk, KEYRING, &root).map_err(|e| Error::Secrets(e.to_string()))?;
        // The seal comes last: an interrupted first run is a first run again.
        replace_file(&self.disk, INSTANCE, &instance).map_err(io(INSTANCE))?;
        seal.save(&self.disk, SEAL).map_err(|e| seal_error(&e))?;
        fail_point("signer.initialised");
        self.instance = Some(instance);
        self.seal = Some(seal);
        let public = self.opened(&root)?;
        Ok(Answer::Initialised { recovery_key: Blob(recovery.expose().to_vec()), keys: public })
    }

    /// The root key, by passphrase or recovery key.
    fn root(&mut self, secret: &Secret) -> Result<Secret, Error> {
        self.may_guess()?;
        let seal = self.seal.as_ref().ok_or_else(|| Error::SignerRefused("there is no passphrase yet".into()))?;
        let root = match secret.expose().starts_with(b"marque-rk-") {
            true => seal.open_with_recovery_key(secret),
            false => seal.open_with_passphrase(secret),
        };
        self.guessed(root.is_ok());
        root.map_err(|e| seal_error(&e))
    }

    fn unseal(&mut self, secret: &Secret) -> Result<Answer, Error> {
        let root = self.root(secret)?;
        if let Some(open) = &self.open {
            return Ok(Answer::Open(open.public.clone()));
        }
        self.opened(&root).map(Answer::Open)
    }

    fn copies(&self) -> Vec<Copy> {
        let copies = self.seal.iter().flat_map(SealFile::copies);
        copies.map(|(id, way)| Copy { id, way: way.word().into(), protects: way.label().into() }).collect()
    }

    fn keyring_copies(&self) -> Vec<u64> {
        let copies = self.seal.iter().flat_map(SealFile::copies);
        copies.filter(|(_, way)| *way == Provider::OsKeyring).map(|(id, _)| id).collect()
    }

    /// Opens the seal by the desktop's keyring alone, before anybody asks.
    ///
    /// # Errors
    /// Where the seal has no copy for it, or the keyring does not give what opens it.
    pub fn unseal_by_keyring(&mut self) -> Result<(), Error> {
        let (Some(instance), Some(seal)) = (self.instance, &self.seal) else { return Err(Error::Keyring(KeyringTrouble::NotChosen)) };
        let mut why = KeyringTrouble::NotChosen;
        for id in self.keyring_copies() {
            match Entry::of(&instance, id).read().map(|key| seal.open_with_os_keyring(&key)) {
                Ok(Ok(root)) => return self.opened(&root).map(drop),
                Ok(Err(_)) => why = KeyringTrouble::Other,
                Err(trouble) => why = trouble,
            }
        }
        Err(Error::Keyring(why))
    }

    /// The entry comes first: a seal never has a copy that nothing opens. An entry without its copy opens nothing, and the
    /// next attempt writes over it.
    fn add_keyring(&mut self, secret: &Secret) -> Result<Answer, Error> {
        let root = self.root(secret)?;
        let (instance, before) = (self.instance.ok_or_else(closed)?, self.keyring_copies());
        let mut random: marque_store::sealed::Random = Box::new(fill_or_die);
        self.change_seal(|seal| {
            let (id, key) = seal.add_os_keyring(&root, &mut random).map_err(|e| seal_error(&e))?;
            Entry::of(&instance, id).write(&key).map_err(Error::Keyring)?;
            before.iter().try_for_each(|old| seal.remove(*old).map(drop)).map_err(|e| seal_error(&e))
        })?;
        before.iter().for_each(|old| Entry::of(&instance, *old).forget());
        Ok(Answer::Copies(self.copies()))
    }

    fn remove_copy(&mut self, secret: &Secret, id: u64) -> Result<Answer, Error> {
        self.root(secret)?;
        let instance = self.instance.ok_or_else(closed)?;
        // Every act asks for the passphrase, and a recovery key is shown once: neither could be put back.
        if !self.keyring_copies().contains(&id) {
            return Err(Error::SignerRefused(format!("`{id}` is no copy for a keyring, and no other is removed")));
        }
        self.change_seal(|seal| seal.remove(id).map(drop).map_err(|e| seal_error(&e)))?;
        Entry::of(&instance, id).forget();
        Ok(Answer::Copies(self.copies()))
    }

    /// Changes the seal's file, or nothing.
    fn change_seal(&mut self, change: impl FnOnce(&mut SealFile) -> Result<(), Error>) -> Result<(), Error> {
        let instance = self.instance.ok_or_else(closed)?;
        let load = |disk: &RealDisk| SealFile::load(disk, SEAL, instance).map_err(|e| seal_error(&e))?.ok_or_else(closed);
        let mut seal = load(&self.disk)?;
        change(&mut seal)?;
        seal.save(&self.disk, SEAL).map_err(|e| seal_error(&e))?;
        self.seal = Some(seal);
        Ok(())
    }

    fn opened(&mut self, root: &Secret) -> Result<Keys, Error> {
        let instance = self.instance.ok_or_else(closed)?;
        let keyring = Keyring::load(&self.disk, KEYRING, instance, root, Box::new(fill_or_die))
            .map_err(|e| Error::Secrets(e.to_string()))?
            .ok_or_else(|| Error::Secrets("the keyring is missing".into()))?;
        let keys = RootKeys::derive(root, &hex(&instance))?;
        let public = Keys {
            instance,
            root: *keys.link.public().as_bytes(),
            vkey: keys.vkey()?,
            origin: keys.log_name.clone(),
        };
        let last = read_file(&self.disk, LAST, 4096).map_err(io(LAST))?;
        let last = match last {
            None => None,
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| Error::SignerRefused("`last-checkpoint` is damaged".into()))?;
                Some(Checkpoint::parse(&text).map_err(|e| Error::SignerRefused(e.to_string()))?)
            }
        };
        self.open = Some(Open { keys, keyring, public: public.clone(), last });
        Ok(public)
    }

    fn sign_checkpoint(&mut self, text: &str, proof: &[[u8; 32]]) -> Result<Answer, Error> {
        let open = self.open.as_mut().ok_or_else(closed)?;
        let next = Checkpoint::parse(text).map_err(|e| Error::SignerRefused(e.to_string()))?;
        let nothing = || Checkpoint { origin: next.origin.clone(), size: 0, root: empty_root(), extensions: Vec::new() };
        let last = open.last.clone().unwrap_or_else(nothing);
        if let Err(refusal) = may_sign(&last, &next, proof) {
            return Ok(Answer::Forked(refusal.to_string()));
        }
        let note = next.sign(&open.keys.checkpoint).map_err(|e| Error::SignerRefused(e.to_string()))?;
        fail_point("signer.signed");
        // Remembered before the signature leaves: never two histories under one key.
        replace_file(&self.disk as &dyn Disk, LAST, next.text().as_bytes()).map_err(io(LAST))?;
        fail_point("signer.remembered");
        open.last = Some(next);
        Ok(Answer::Text(note.to_string()))
    }
}

fn closed() -> Error {
    Error::SignerRefused("the seal is closed: give the passphrase first".into())
}

/// Without randomness no key may be made; a process that cannot have any ends.
fn fill_or_die(out: &mut [u8]) {
    if random::fill(out).is_err() {
        std::process::abort();
    }
}
