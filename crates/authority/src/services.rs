//! The profiles that ship with the program. They are part of it, so a workspace cannot change them (threats C11); a
//! profile of the user's own takes effect by digest through an act that widens authority.

use crate::Error;
use crate::authority::Authority;
use crate::policies::Book;
use marque_api::control::{ServiceApplied, ServiceApply};
use marque_api::{Code, Problem};
use marque_model::State;
use marque_model::event::{Apply, Draft};
use marque_store::disk::{RealDisk, replace_file};
use marque_wire::profile::{Egress, Profile};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the journal calls a profile that took effect.
pub(crate) const WHAT: &str = "profile";
/// Where the texts are, in the data directory, by digest.
const DIR: &str = "services";

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../services/", $name, ".toml")))),+]
    };
}

/// Name and text of every shipped profile.
pub const SHIPPED: &[(&str, &str)] = shipped!["anthropic", "docker-registry", "github", "openai", "slack"];

/// The named set `@package-registries`: readable without a credential and without a question.
const PACKAGE_REGISTRIES: &str = include_str!("../../../services/package-registries.toml");

/// Origins of `@package-registries`.
///
/// # Errors
/// Where the shipped set does not parse.
pub fn package_registries() -> Result<Vec<String>, Error> {
    let set = Egress::parse(PACKAGE_REGISTRIES).map_err(|e| Error::Profile("package-registries".into(), e.to_string()))?;
    Ok(set.hosts().map(marque_model::Target::origin).collect())
}

/// Profiles by name.
pub type Services = BTreeMap<String, Arc<Profile>>;

/// Reads the shipped profiles.
///
/// # Errors
/// Where one does not parse, which a test of `wire` excludes.
pub fn shipped() -> Result<Services, Error> {
    let mut out = Services::new();
    for (name, text) in SHIPPED {
        let profile = Profile::parse(text).map_err(|e| Error::Profile((*name).to_owned(), e.to_string()))?;
        out.insert((*name).to_owned(), Arc::new(profile));
    }
    Ok(out)
}

/// The shipped profiles and the user's own, and the policies in their words. A profile whose text is not the one that took
/// effect is no service: nothing is read by it, and nothing falls back to another of that name.
///
/// # Errors
/// As [`shipped`].
pub(crate) fn in_force(data_dir: &Path, state: &State) -> Result<(Services, Book), Error> {
    let mut all = shipped()?;
    let own = || state.applied.iter().filter(|((what, _), _)| what == WHAT);
    for ((_, name), digest) in own() {
        let text = std::fs::read_to_string(data_dir.join(DIR).join(file_name(digest)));
        let profile = text.ok().and_then(|text| Profile::parse(&text).ok());
        match profile.filter(|profile| profile.digest() == *digest && profile.service() == name) {
            Some(profile) => all.insert(name.clone(), Arc::new(profile)),
            None => all.remove(name),
        };
    }
    let mut book = match Book::new(&all) {
        Ok(book) => book,
        // They were tried before they took effect, so that this is another program: without them it runs.
        Err(_) => {
            all = shipped()?;
            let book = Book::new(&all)?;
            own().for_each(|((_, name), _)| {
                all.remove(name);
            });
            book
        }
    };
    book.restore(data_dir, state);
    Ok((all, book))
}

fn file_name(digest: &[u8; 32]) -> String {
    format!("{}.toml", crate::hex(digest))
}

impl Authority {
    /// Makes a profile of the user's own take effect. An act that widens authority: it says what requests mean and where
    /// answers may lead. Sessions that are open keep what they were opened with.
    ///
    /// # Errors
    /// Where the passphrase is wrong, the text is no profile, one of its examples fails, the policies in force do not load
    /// with it, or they forbid it.
    pub async fn service_apply(self: &Arc<Self>, mut asked: ServiceApply, uid: u32) -> Result<ServiceApplied, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        let refuse = |why: String| Error::Refused(Problem::new(Code::PROFILE, why, "run `marque service check FILE`"));
        let profile = Profile::parse(&asked.text).map_err(|e| refuse(e.to_string()))?;
        let checked = profile.check().map_err(|all| refuse(all.first().map(ToString::to_string).unwrap_or_default()))?;
        let (name, digest) = (profile.service().to_owned(), profile.digest());
        if name == "http" || name == crate::vault::SERVICE {
            return Err(refuse(format!("`{name}` is a service without a profile")));
        }
        self.judge_act("service.apply", &name, "", self.subject_of(uid).await?)?;
        let profile = Arc::new(profile);
        let book = {
            let mut all = self.services.read().clone();
            all.insert(name.clone(), profile.clone());
            let mut book = Book::new(&all).map_err(|e| refuse(e.to_string()))?;
            book.restore(&self.options.data_dir, &self.state.read());
            book
        };
        if let (Some(fault), None) = (book.fault(), self.book.read().fault()) {
            return Err(refuse(format!("with it {fault}")));
        }
        let io = |source| Error::Io { path: DIR.into(), source };
        std::fs::create_dir_all(self.options.data_dir.join(DIR)).map_err(io)?;
        let disk = RealDisk::open(&self.options.data_dir).map_err(io)?;
        // The text first: a journal that names it must find it.
        replace_file(&disk, &format!("{DIR}/{}", file_name(&digest)), asked.text.as_bytes()).map_err(io)?;
        self.append(Draft::new(Apply { what: WHAT.into(), name: name.clone(), digest }).into()).await?;
        let hosts = profile.aliases().map(|(alias, target)| format!("{alias}={}", target.origin())).collect();
        self.services.write().insert(name.clone(), profile);
        *self.book.write() = book;
        self.remember()?;
        Ok(ServiceApplied { service: name, digest: crate::hex(&digest), operations: checked.operations, hosts })
    }
}
