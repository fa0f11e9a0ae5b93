//! gzip and deflate.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Fault, Sink};

/// Output produced per step.
const STEP_BYTES: usize = 32 << 10;
/// Window of 2^15 bytes, the largest there is (RFC 1950 section 2.2).
const WINDOW_BITS: u8 = 15;

pub(super) struct Inflate {
    engine: Engine,
    step: Vec<u8>,
}

enum Engine {
    /// `between`: a member ended and no other began.
    Gzip {
        stream: Decompress,
        between: bool,
    },
    /// Two bytes tell zlib from bare deflate; the first may be waiting.
    Undecided {
        first: Option<u8>,
    },
    Deflate {
        stream: Decompress,
        ended: bool,
    },
}

impl Inflate {
    pub(super) fn gzip() -> Self {
        Self::with(Engine::Gzip {
            stream: Decompress::new_gzip(WINDOW_BITS),
            between: false,
        })
    }

    pub(super) fn deflate() -> Self {
        Self::with(Engine::Undecided { first: None })
    }

    fn with(engine: Engine) -> Self {
        Self {
            engine,
            step: vec![0; STEP_BYTES],
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match &self.engine {
            Engine::Gzip { between, .. } => *between,
            Engine::Undecided { .. } => false,
            Engine::Deflate { ended, .. } => *ended,
        }
    }

    pub(super) fn push(&mut self, mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        if let Engine::Undecided { first } = &mut self.engine {
            let (one, rest) = match (*first, input) {
                (None, [one]) => {
                    *first = Some(*one);
                    return Ok(());
                }
                (None, [one, rest @ ..]) => (*one, rest),
                (Some(one), rest) => (one, rest),
                (None, []) => return Ok(()),
            };
            let two = rest.first().copied().unwrap_or_default();
            let mut stream = Decompress::new(is_zlib(one, two));
            let (_, ended) = run(&mut stream, &mut self.step, &[one], sink)?;
            self.engine = Engine::Deflate { stream, ended };
            input = rest;
        }
        match &mut self.engine {
            Engine::Gzip { stream, between } => {
                while !input.is_empty() {
                    if *between {
                        stream.reset(true);
                        *between = false;
                    }
                    let (rest, ended) = run(stream, &mut self.step, input, sink)?;
                    *between = ended;
                    input = rest;
                }
            }
            Engine::Deflate { stream, ended } => {
                if !*ended {
                    (input, *ended) = run(stream, &mut self.step, input, sink)?;
                }
                if !input.is_empty() {
                    return Err(Fault::TrailingData);
                }
            }
            Engine::Undecided { .. } => {}
        }
        Ok(())
    }
}

/// RFC 1950 section 2.2: method 8, a window the method allows, and a check value.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0
}

/// Decodes until the input is used up or the stream ends; returns what is left and whether it ended.
fn run<'i>(
    stream: &mut Decompress,
    step: &mut [u8],
    mut input: &'i [u8],
    sink: &mut Sink<'_>,
) -> Result<(&'i [u8], bool), Fault> {
    loop {
        let (in_before, out_before) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(input, step, FlushDecompress::None)
            .map_err(|error| {
                if error.needs_dictionary().is_some() {
                    Fault::NeedsDictionary
                } else {
                    Fault::Corrupt
                }
            })?;
        // Both differences are at most the lengths of the slices given.
        let used = (stream.total_in() - in_before) as usize;
        let made = (stream.total_out() - out_before) as usize;
        sink.write(step.get(..made).unwrap_or_default())?;
        input = input.get(used..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok((input, true));
        }
        let stuck = used == 0 && made == 0;
        if made < step.len() && (input.is_empty() || stuck) {
            return if input.is_empty() {
                Ok((input, false))
            } else {
                Err(Fault::Corrupt)
            };
        }
    }
}
