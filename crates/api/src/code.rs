//! Error codes. 1xxx input, 2xxx grants, 3xxx policy and approval, 4xxx traffic, 5xxx authority, 6xxx verification.

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $sentence:literal; )+) => {
        impl Code {
            $( $(#[$doc])* pub const $name: Self = Self($number); )+
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[$(Self($number)),+];
            /// The HTTP status that a refusal with this code has.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self.0 { $($number => $status,)+ _ => 500 }
            }
            /// One sentence, lower case.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self.0 { $($number => $sentence,)+ _ => "an unknown code" }
            }
            /// Text form, as it stands in problems: `MQ-2104`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => concat!("MQ-", $number),)+ _ => "MQ-0000" }
            }
        }
    };
}

/// A stable error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

codes! {
    /// A request to the authority could not be read.
    INPUT = 1001, 400, "the request to the authority could not be read";
    /// A name that is not known.
    NOT_FOUND = 1002, 404, "there is no such thing here";
    /// A session needs a purpose, a grant, an environment and an end.
    PURPOSE = 1003, 400, "a session needs a purpose, at least one grant, an environment and an end";
    /// A grant could not be read.
    GRANT = 1004, 400, "a grant could not be read";
    /// A profile is not valid.
    PROFILE = 1101, 400, "the service profile is not valid";
    /// A task is not valid.
    TASK = 1201, 400, "the task file is not valid";
    /// A policy pack is not valid or one of its assertions fails.
    PACK = 1301, 400, "the policy pack did not load";
    /// A file differs from the digest that was applied.
    DIGEST = 1401, 409, "the file changed since it was applied";
    /// The action is outside the session's grants.
    NOT_GRANTED = 2104, 403, "the action is outside this session's grants";
    /// A limit of the session or an ancestor is used up.
    LIMIT = 2105, 403, "a limit of this session is used up";
    /// The leaf or an ancestor was revoked.
    REVOKED = 2106, 403, "this delegation was revoked";
    /// The resource belongs to another environment.
    ENVIRONMENT = 2107, 403, "the resource belongs to another environment";
    /// More than one credential fits.
    CREDENTIAL_AMBIGUOUS = 2108, 403, "more than one credential fits this request";
    /// No credential fits.
    CREDENTIAL_NONE = 2109, 403, "no credential fits this request";
    /// A delegated link asks for more than its parent has.
    WIDER = 2110, 403, "the delegation asks for more than its parent has";
    /// Nobody registered where the resource belongs.
    ENVIRONMENT_UNKNOWN = 2111, 403, "nobody registered which environment the resource belongs to";
    /// A policy forbids.
    POLICY = 3107, 403, "a policy refuses this action";
    /// A policy could not be evaluated.
    POLICY_ERROR = 3108, 403, "a policy could not be evaluated, so the action is refused";
    /// A human has to answer first.
    APPROVAL_PENDING = 3201, 403, "a human has to approve this; retry the same request after the answer";
    /// A human said no.
    APPROVAL_DENIED = 3202, 403, "a human refused this request";
    /// The action cannot be asked about: its body is too long to be held.
    NOT_ASKABLE = 3203, 403, "this request is too long to be held for an approval";
    /// Too many questions are open.
    ASKS_FULL = 3204, 429, "too many requests of this session wait for an approval";
    /// The host is not listed for this session.
    HOST = 4101, 403, "this session has no way to that host";
    /// The address is private, or a metadata service's.
    ADDRESS = 4102, 403, "the host's address is not one that may be reached";
    /// CONNECT, SNI, Host and certificate do not agree.
    TARGET = 4103, 421, "the request names two different destinations";
    /// The request is malformed.
    MALFORMED = 4104, 400, "the request is malformed";
    /// The request can be read in two ways.
    AMBIGUOUS = 4105, 400, "the request can be read in more than one way";
    /// The upgrade is not supported.
    UPGRADE = 4106, 403, "this kind of upgrade is refused";
    /// The body is over a limit.
    TOO_LONG = 4107, 413, "the body is longer than the limit";
    /// The upstream used a content coding that cannot be searched.
    CODING = 4108, 502, "the upstream answered in a coding that cannot be searched for credentials";
    /// The answer is withheld.
    WITHHELD = 4109, 502, "the upstream's answers repeat a credential and are withheld";
    /// The upstream cannot be reached.
    UPSTREAM = 4110, 502, "the upstream cannot be reached";
    /// The upstream's certificate does not verify.
    UPSTREAM_TLS = 4111, 502, "the upstream's certificate does not verify";
    /// The agent sent a credential of its own.
    OWN_CREDENTIAL = 4112, 403, "the request carries a credential that marque did not place";
    /// The connection did not show the session's proxy secret.
    PROXY_AUTH = 4113, 407, "the connection does not belong to a session";
    /// The upstream took too long.
    TIMEOUT = 4114, 504, "the upstream took too long";
    /// The credential could not be written into its place.
    PLACING = 4115, 500, "the credential could not be written into its declared place";
    /// An address of the gateway that leads nowhere for this session.
    KEPT_ADDRESS = 4116, 410, "the address of the gateway leads nowhere";
    /// The session is over.
    SESSION_OVER = 5101, 403, "this session is over";
    /// The disk is nearly full.
    NO_SPACE = 5102, 503, "the journal has no space left for new uses";
    /// A named limit of the authority is reached.
    QUOTA = 5103, 429, "a limit of the authority is reached";
    /// The journal cannot be written.
    JOURNAL = 5104, 503, "the journal cannot be written";
    /// The authority is sealed.
    SEALED = 5105, 503, "the authority is sealed: it needs the passphrase";
    /// The passphrase is wrong.
    AUTH = 5106, 401, "the passphrase is missing or wrong";
    /// No authority is running.
    UNREACHABLE = 5107, 503, "no authority is running";
    /// The verb is not for processes of a session.
    INSIDE = 5108, 403, "a process of a session cannot do this";
    /// The grade of containment is too weak for what was asked.
    CONTAINMENT = 5109, 403, "the containment on this machine is too weak for this session";
    /// Two events contradict each other.
    CONFLICT = 5110, 409, "the request does not fit what happened before";
    /// The reference of a credential gives no value.
    REFERENCE = 5111, 503, "the reference of a credential gives no value";
    /// The search index is behind or being built again.
    INDEX = 5112, 503, "the search index is not ready";
    /// The desktop's keyring does not open the seal.
    KEYRING = 5113, 503, "the desktop's keyring does not open the seal";
    /// Another authority has the data directory.
    TAKEN = 5114, 409, "another authority has the data directory";
    /// Others may enter the data directory.
    EXPOSED = 5115, 403, "the data directory is open to other users";
    /// A human who is to be erased is still in use.
    HUMAN_IN_USE = 5116, 409, "the human still has live sessions or open questions";
    /// The journal, a proof or a signature does not verify.
    TAMPERED = 6101, 500, "the journal does not verify";
    /// Records that no outside witness has seen.
    UNWITNESSED = 6102, 500, "part of the journal was seen by no outside witness";
    /// The journal is older than one that was seen before.
    ROLLED_BACK = 6103, 500, "the journal is older than one that was seen before";
    /// A witness proved a longer journal, or another one.
    WITNESSED_OTHERWISE = 6104, 500, "a witness has seen a longer journal than this one, or another one";
}

impl Code {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
    /// The code with that text, in any case, with or without `MQ-`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let number: u16 = upper.strip_prefix("MQ-").unwrap_or(&upper).parse().ok()?;
        Self::ALL.iter().copied().find(|code| code.0 == number)
    }
    /// The code with that number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.0 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_so_none_is_used_twice() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_code_is_found_by_any_spelling() {
        assert_eq!(Code::from_text("mq-2104"), Some(Code::NOT_GRANTED));
        assert_eq!(Code::from_text("2104"), Some(Code::NOT_GRANTED));
        assert_eq!(Code::from_text("9999"), None);
    }
}
