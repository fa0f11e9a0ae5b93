//! Undo content codings (RFC 9110 section 8.4) in a stream, so that a body can be searched.
//!
//! Every decoder is bounded twice: by the decoded size and by its ratio to what arrived, judged at each layer of a
//! stack against the bytes on the wire. A truncated body is an error, and so is anything after its end.

mod brotli;
mod inflate;
mod zstd;

use crate::limits::{CODINGS_MAX, DECODED_FREE_BYTES, DECODED_MAX_BYTES, DECODED_RATIO_MAX};

/// A registered content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950, or the bare RFC 1951 that some servers send under this name.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878 with the window of RFC 9659, any number of frames.
    Zstd,
}

/// How much a body may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Decoded bytes at most.
    pub max_bytes: u64,
    /// Decoded bytes per encoded byte at most,
    pub max_ratio: u64,
    /// once more than this many bytes were decoded.
    pub free_bytes: u64,
}

/// Why a body cannot be decoded. The output of the failing call is dropped; the decoder stays failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A coding nobody can be expected to undo.
    #[error("content coding `{name}` is not known")]
    UnknownCoding {
        /// As received, shortened and made printable.
        name: String,
    },
    /// Coded too often.
    #[error("the body has more than {max} content codings")]
    TooManyCodings {
        /// [`CODINGS_MAX`].
        max: usize,
    },
    /// Not what the coding says.
    #[error("the body is not valid {coding}")]
    Corrupt {
        /// The layer that failed.
        coding: Coding,
    },
    /// The end is missing.
    #[error("the {coding} body ends too early")]
    Truncated {
        /// The layer that failed.
        coding: Coding,
    },
    /// More bytes than the coding accounts for.
    #[error("the {coding} body goes on after its end")]
    TrailingData {
        /// The layer that failed.
        coding: Coding,
    },
    /// Needs more memory than a decoder gets.
    #[error("the {coding} body asks for a window of more than {max} bytes")]
    WindowTooLarge {
        /// The layer that failed.
        coding: Coding,
        /// In bytes.
        max: u64,
    },
    /// Needs a dictionary that does not come with it.
    #[error("the {coding} body needs a dictionary")]
    NeedsDictionary {
        /// The layer that failed.
        coding: Coding,
    },
    /// Too long.
    #[error("the body decodes to more than {max} bytes")]
    TooLarge {
        /// In bytes.
        max: u64,
    },
    /// A bomb.
    #[error("the body decodes to more than {max} times its size")]
    RatioTooHigh {
        /// Decoded bytes per encoded byte.
        max: u64,
    },
}

impl std::fmt::Display for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }
}

impl Coding {
    /// Reads a `Content-Encoding` field: the codings in the order they were applied, without `identity`.
    ///
    /// # Errors
    /// When one is not known, or there are more than [`CODINGS_MAX`].
    pub fn parse_list(field: &str) -> Result<Vec<Self>, DecodeError> {
        let mut codings = Vec::new();
        for name in field.split(',').map(|name| name.trim_matches([' ', '\t'])) {
            let lower = name.to_ascii_lowercase();
            let coding = match lower.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                other => return Err(unknown(other)),
            };
            if codings.len() >= CODINGS_MAX {
                return Err(DecodeError::TooManyCodings { max: CODINGS_MAX });
            }
            codings.push(coding);
        }
        Ok(codings)
    }
}

fn unknown(name: &str) -> DecodeError {
    /// Enough for any registered name.
    const SHOWN: usize = 32;
    DecodeError::UnknownCoding {
        name: name
            .chars()
            .take(SHOWN)
            .flat_map(char::escape_default)
            .collect(),
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_bytes: DECODED_MAX_BYTES,
            max_ratio: DECODED_RATIO_MAX,
            free_bytes: DECODED_FREE_BYTES,
        }
    }
}

/// Decodes one body. As secret as what passes through it: no `Debug`.
pub struct Decoder {
    /// Outermost coding first.
    layers: Vec<Layer>,
    limits: DecodeLimits,
    wire_bytes: u64,
    failed: Option<DecodeError>,
}

struct Layer {
    coding: Coding,
    state: State,
    started: bool,
    decoded_bytes: u64,
}

enum State {
    Inflate(inflate::Inflate),
    Brotli(Box<brotli::Brotli>),
    Zstd(Box<zstd::Zstd>),
}

/// Where a layer writes: within what is left to it.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    decoded_bytes: &'a mut u64,
    wire_bytes: u64,
    limits: DecodeLimits,
}

/// What a layer found wrong; the coding is added on the way out.
enum Fault {
    Corrupt,
    TrailingData,
    WindowTooLarge(u64),
    NeedsDictionary,
    Limit(DecodeError),
}

impl Decoder {
    /// A decoder of one coding.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        Self {
            layers: vec![Layer::new(coding)],
            limits: DecodeLimits::default(),
            wire_bytes: 0,
            failed: None,
        }
    }

    /// A decoder of several codings, in the order they were applied. Of none, it passes its input through.
    ///
    /// # Errors
    /// When there are more than [`CODINGS_MAX`].
    pub fn stacked(codings: &[Coding]) -> Result<Self, DecodeError> {
        if codings.len() > CODINGS_MAX {
            return Err(DecodeError::TooManyCodings { max: CODINGS_MAX });
        }
        let layers = codings.iter().rev().copied().map(Layer::new).collect();
        Ok(Self {
            layers,
            limits: DecodeLimits::default(),
            wire_bytes: 0,
            failed: None,
        })
    }

    /// The same with other limits; set before the first chunk.
    #[must_use]
    pub fn with_limits(mut self, limits: DecodeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Appends to `out` what `chunk` decodes to. One call appends at most `free_bytes` plus `max_ratio` times what
    /// arrived so far, so feed chunks of moderate size.
    ///
    /// # Errors
    /// When the body is not what its coding says or grows too much. Nothing is appended then, and every later call
    /// fails alike.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.check()?;
        let before = out.len();
        let result = self.push_through(chunk, out);
        if let Err(error) = &result {
            out.truncate(before);
            self.failed = Some(error.clone());
        }
        result
    }

    /// Ends the body. A body without a single byte is complete (RFC 9110 allows it for HEAD and 304, servers send it
    /// otherwise too).
    ///
    /// # Errors
    /// When the end is missing, or an earlier call failed.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        self.check()?;
        let open = self
            .layers
            .iter()
            .find(|layer| layer.started && !layer.state.is_complete());
        // An inner layer that got nothing from a complete outer one that got something is an empty body.
        open.map_or(Ok(()), |layer| {
            Err(DecodeError::Truncated {
                coding: layer.coding,
            })
        })
    }

    fn check(&self) -> Result<(), DecodeError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn push_through(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.wire_bytes = self.wire_bytes.saturating_add(chunk.len() as u64);
        let Some((innermost, outer)) = self.layers.split_last_mut() else {
            out.extend_from_slice(chunk);
            return Ok(());
        };
        let mut between: Option<Vec<u8>> = None;
        for layer in outer {
            let mut decoded = Vec::new();
            layer.push(
                between.as_deref().unwrap_or(chunk),
                &mut decoded,
                self.wire_bytes,
                self.limits,
            )?;
            between = Some(decoded);
        }
        innermost.push(
            between.as_deref().unwrap_or(chunk),
            out,
            self.wire_bytes,
            self.limits,
        )
    }
}

impl Layer {
    fn new(coding: Coding) -> Self {
        let state = match coding {
            Coding::Gzip => State::Inflate(inflate::Inflate::gzip()),
            Coding::Deflate => State::Inflate(inflate::Inflate::deflate()),
            Coding::Brotli => State::Brotli(Box::default()),
            Coding::Zstd => State::Zstd(Box::default()),
        };
        Self {
            coding,
            state,
            started: false,
            decoded_bytes: 0,
        }
    }

    fn push(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        wire_bytes: u64,
        limits: DecodeLimits,
    ) -> Result<(), DecodeError> {
        if input.is_empty() {
            return Ok(());
        }
        self.started = true;
        let mut sink = Sink {
            out,
            decoded_bytes: &mut self.decoded_bytes,
            wire_bytes,
            limits,
        };
        let result = match &mut self.state {
            State::Inflate(inflate) => inflate.push(input, &mut sink),
            State::Brotli(brotli) => brotli.push(input, &mut sink),
            State::Zstd(zstd) => zstd.push(input, &mut sink),
        };
        let coding = self.coding;
        result.map_err(|fault| match fault {
            Fault::Corrupt => DecodeError::Corrupt { coding },
            Fault::TrailingData => DecodeError::TrailingData { coding },
            Fault::WindowTooLarge(max) => DecodeError::WindowTooLarge { coding, max },
            Fault::NeedsDictionary => DecodeError::NeedsDictionary { coding },
            Fault::Limit(error) => error,
        })
    }
}

impl State {
    fn is_complete(&self) -> bool {
        match self {
            Self::Inflate(inflate) => inflate.is_complete(),
            Self::Brotli(brotli) => brotli.is_complete(),
            Self::Zstd(zstd) => zstd.is_complete(),
        }
    }
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let decoded = self.decoded_bytes.saturating_add(bytes.len() as u64);
        let limits = self.limits;
        if decoded > limits.max_bytes {
            return Err(Fault::Limit(DecodeError::TooLarge {
                max: limits.max_bytes,
            }));
        }
        if decoded > limits.free_bytes && decoded > self.wire_bytes.saturating_mul(limits.max_ratio)
        {
            return Err(Fault::Limit(DecodeError::RatioTooHigh {
                max: limits.max_ratio,
            }));
        }
        *self.decoded_bytes = decoded;
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}
