//! The shapes a secret takes when an upstream echoes it.
//!
//! A form is a fixed-length sequence of positions, each accepting one byte or one of two: hexadecimal digits in either
//! case, base64 in either alphabet. So `%2f`, `%2F` and a mixture of both are one form, and so are base64 and base64url.
//!
//! Not recognised, and not claimed: encodings of encodings, line-wrapped base64, compression, encryption, a secret
//! cut in pieces. Of base64 the stable middle is recognised; the characters at its ends, which mix at most four bits of
//! the secret with its neighbours, stay.

mod base64;
mod text;

use zeroize::{DefaultIsZeroes, Zeroize, Zeroizing};

use crate::Secret;
use crate::limits::{SECRET_MAX_BYTES, SECRET_MIN_BYTES};

/// How the secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FormKind {
    /// As it is.
    Raw,
    /// base64 or base64url (RFC 4648 sections 4 and 5), at one of three alignments.
    Base64,
    /// Hexadecimal digits in any case.
    Hex,
    /// Percent-encoding (RFC 3986 section 2.1) and `application/x-www-form-urlencoded`.
    Percent,
    /// Inside a JSON string (RFC 8259 section 7).
    Json,
    /// Inside HTML or XML text or attributes.
    Html,
}

/// Why a secret has no forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Masking something so short would hit ordinary text.
    #[error("a secret of {len} bytes cannot be scrubbed, the shortest is {min}")]
    TooShort {
        /// Length of the secret in bytes.
        len: usize,
        /// [`SECRET_MIN_BYTES`].
        min: usize,
    },
    /// Its forms would not fit the memory of a stream.
    #[error("a secret of {len} bytes cannot be scrubbed, the longest is {max}")]
    TooLong {
        /// Length of the secret in bytes.
        len: usize,
        /// [`SECRET_MAX_BYTES`].
        max: usize,
    },
}

/// One shape of one secret. As secret as the secret: no `Debug`, wiped on drop.
pub struct Form {
    kind: FormKind,
    syms: Zeroizing<Vec<Sym>>,
}

/// One position of a form: accepts the first or the second byte.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sym(u8, u8);

impl DefaultIsZeroes for Sym {}

impl Sym {
    pub(crate) fn accepts(self, byte: u8) -> bool {
        byte == self.0 || byte == self.1
    }

    /// The bytes this position accepts: one, or two.
    pub(crate) fn bytes(self) -> (u8, Option<u8>) {
        (self.0, (self.0 != self.1).then_some(self.1))
    }
}

impl Form {
    /// How the secret is written in it.
    #[must_use]
    pub fn kind(&self) -> FormKind {
        self.kind
    }

    /// Length in bytes; never below [`SECRET_MIN_BYTES`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a form is never empty")]
    pub fn len(&self) -> usize {
        self.syms.len()
    }

    /// Whether these bytes are, from first to last, the secret in this form.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.syms.len() && accepts_all(&self.syms, bytes)
    }

    pub(crate) fn into_syms(self) -> Zeroizing<Vec<Sym>> {
        self.syms
    }
}

/// Whether each position accepts its byte, as far as both reach.
pub(crate) fn accepts_all(syms: &[Sym], bytes: &[u8]) -> bool {
    syms.iter().zip(bytes).all(|(sym, byte)| sym.accepts(*byte))
}

/// Every form of a secret, each once.
///
/// # Errors
/// When the secret's length is outside [`SECRET_MIN_BYTES`]..=[`SECRET_MAX_BYTES`].
pub fn forms_of(secret: &Secret) -> Result<Vec<Form>, FormError> {
    let len = secret.len();
    if len < SECRET_MIN_BYTES {
        return Err(FormError::TooShort {
            len,
            min: SECRET_MIN_BYTES,
        });
    }
    if len > SECRET_MAX_BYTES {
        return Err(FormError::TooLong {
            len,
            max: SECRET_MAX_BYTES,
        });
    }
    let bytes = secret.expose();
    let mut forms = Vec::new();
    add(
        &mut forms,
        FormKind::Raw,
        Writer::with(|w| w.literal(bytes)),
    );
    for alignment in 0..3 {
        add(
            &mut forms,
            FormKind::Base64,
            base64::middle(bytes, alignment),
        );
    }
    add(
        &mut forms,
        FormKind::Hex,
        Writer::with(|w| bytes.iter().for_each(|b| w.hex(*b))),
    );
    for syms in text::percent(bytes) {
        add(&mut forms, FormKind::Percent, syms);
    }
    for syms in text::json(bytes) {
        add(&mut forms, FormKind::Json, syms);
    }
    for syms in text::html(bytes) {
        add(&mut forms, FormKind::Html, syms);
    }
    Ok(forms)
}

/// What HTTP basic authentication encodes (RFC 7617 section 2): `user:secret`. Register it beside the secret itself,
/// under the same id, so that its base64 is masked from the first to the last stable character.
#[must_use]
pub fn basic_composite(user: &[u8], secret: &Secret) -> Secret {
    let mut bytes = Vec::with_capacity(user.len() + 1 + secret.len());
    bytes.extend_from_slice(user);
    bytes.push(b':');
    bytes.extend_from_slice(secret.expose());
    Secret::new(bytes)
}

fn add(forms: &mut Vec<Form>, kind: FormKind, syms: Zeroizing<Vec<Sym>>) {
    let known = forms.iter().any(|form| *form.syms == *syms);
    if !known && syms.len() >= SECRET_MIN_BYTES {
        forms.push(Form { kind, syms });
    }
}

/// Collects the positions of one form.
#[derive(Default)]
struct Writer(Zeroizing<Vec<Sym>>);

impl Writer {
    fn with(write: impl FnOnce(&mut Self)) -> Zeroizing<Vec<Sym>> {
        let mut writer = Self::default();
        write(&mut writer);
        writer.0
    }

    fn byte(&mut self, byte: u8) {
        self.either(byte, byte);
    }

    fn either(&mut self, one: u8, other: u8) {
        if self.0.len() == self.0.capacity() {
            self.grow();
        }
        self.0.push(Sym(one, other));
    }

    fn literal(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    /// Two hexadecimal digits in either case.
    fn hex(&mut self, byte: u8) {
        for nibble in [byte >> 4, byte & 0x0f] {
            let digit = |letter: u8| {
                if nibble < 10 {
                    b'0' + nibble
                } else {
                    letter + nibble - 10
                }
            };
            self.either(digit(b'a'), digit(b'A'));
        }
    }

    /// Grows by hand, so that the buffer left behind is wiped.
    fn grow(&mut self) {
        let mut larger = Zeroizing::new(Vec::with_capacity((self.0.len() * 2).max(64)));
        larger.extend_from_slice(&self.0);
        self.0.zeroize();
        self.0 = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds_matching(secret: &[u8], text: &[u8]) -> Vec<FormKind> {
        let forms = forms_of(&Secret::new(secret.to_vec())).unwrap();
        forms
            .iter()
            .filter(|form| form.matches(text))
            .map(Form::kind)
            .collect()
    }

    #[test]
    fn a_secret_has_forms_from_8_to_8192_bytes() {
        let of_len = |len| forms_of(&Secret::new(vec![b'k'; len])).err();
        assert_eq!(
            of_len(SECRET_MIN_BYTES - 1),
            Some(FormError::TooShort { len: 7, min: 8 })
        );
        assert_eq!(of_len(SECRET_MIN_BYTES), None);
        assert_eq!(of_len(SECRET_MAX_BYTES), None);
        assert_eq!(
            of_len(SECRET_MAX_BYTES + 1),
            Some(FormError::TooLong {
                len: 8193,
                max: 8192
            })
        );
    }

    #[test]
    fn every_form_is_found_once_under_its_kind() {
        let secret = b"p@ss/w\"o<rd&+~1";
        for (text, kind) in [
            (&b"p@ss/w\"o<rd&+~1"[..], FormKind::Raw),
            (b"cEBzcy93Im88cmQmK34x", FormKind::Base64),
            (b"cEBzcy93Im88cmQmK34x", FormKind::Base64),
            (b"704073732f77226f3c7264262b7e31", FormKind::Hex),
            (b"704073732F77226f3C7264262b7E31", FormKind::Hex),
            (b"p%40ss%2Fw%22o%3Crd%26%2B~1", FormKind::Percent),
            (b"p%40ss%2fw%22o%3Crd%26%2b~1", FormKind::Percent),
            (b"p%40ss/w%22o%3Crd%26%2B~1", FormKind::Percent),
            (b"p@ss/w%22o%3Crd&+~1", FormKind::Percent),
            (b"p%40ss%2Fw%22o%3Crd%26%2B%7E1", FormKind::Percent),
            (b"%70%40%73%73%2f%77%22%6f%3c%72%64%26%2b%7e%31", FormKind::Percent),
            (b"p@ss/w\\\"o<rd&+~1", FormKind::Json),
            (b"p@ss\\/w\\\"o<rd&+~1", FormKind::Json),
            (b"p@ss/w\\\"o\\u003crd\\u0026+~1", FormKind::Json),
            (b"p@ss/w\\u0022o\\u003Crd\\u0026\\u002B~1", FormKind::Json),
            (b"\\u0070\\u0040\\u0073\\u0073\\u002f\\u0077\\u0022\\u006f\\u003c\\u0072\\u0064\\u0026\\u002b\\u007e\\u0031", FormKind::Json),
            (b"p@ss/w&quot;o&lt;rd&amp;+~1", FormKind::Html),
            (b"p@ss/w&#34;o&lt;rd&amp;+~1", FormKind::Html),
            (b"p@ss/w\"o&lt;rd&amp;+~1", FormKind::Html),
        ] {
            assert_eq!(kinds_matching(secret, text), [kind], "{}", text.escape_ascii());
        }
    }

    #[test]
    fn forms_that_do_not_differ_are_kept_once() {
        let forms = forms_of(&Secret::new(b"onlyLettersAndDigits123".to_vec())).unwrap();
        let count = |kind| forms.iter().filter(|form| form.kind() == kind).count();
        assert_eq!(count(FormKind::Raw), 1);
        assert_eq!(count(FormKind::Base64), 3);
        assert_eq!(count(FormKind::Hex), 1);
        assert_eq!(
            count(FormKind::Percent),
            1,
            "only the one with everything encoded"
        );
        assert_eq!(
            count(FormKind::Json),
            1,
            "only the one with everything escaped"
        );
        assert_eq!(count(FormKind::Html), 0);
    }

    #[test]
    fn both_base64_alphabets_are_one_form() {
        let secret = [0xfb, 0xff, 0xfe, 0xfb, 0xef, 0xbe, 0xfb, 0xff, 0xbf];
        assert_eq!(kinds_matching(&secret, b"+//++++++/+/"), [FormKind::Base64]);
        assert_eq!(kinds_matching(&secret, b"-__------_-_"), [FormKind::Base64]);
    }

    #[test]
    fn a_secret_that_is_not_text_is_escaped_too() {
        let secret = [0xff, 0x00, 0xfe, 0x80, 0x10, 0x20, 0x30, 0x99];
        assert_eq!(
            kinds_matching(&secret, b"%FF%00%FE%80%10%200%99"),
            [FormKind::Percent]
        );
        let utf8 = "pässwörd".as_bytes();
        assert_eq!(
            kinds_matching(utf8, b"p\\u00e4ssw\\u00F6rd"),
            [FormKind::Json]
        );
        let astral = "🔑key-key".as_bytes();
        assert_eq!(
            kinds_matching(astral, b"\\ud83d\\udd11key-key"),
            [FormKind::Json]
        );
    }

    #[test]
    fn basic_authentication_joins_user_and_secret() {
        assert!(
            basic_composite(b"x-access-token", &Secret::new(b"s3cr3t".to_vec()))
                .eq_bytes(b"x-access-token:s3cr3t")
        );
    }
}
