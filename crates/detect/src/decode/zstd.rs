//! Zstandard (RFC 8878).
//!
//! The library decodes whole blocks, so this file finds their borders. It keeps a window's worth of output until the
//! frame ends: answers that are streamed should be asked for without this coding.

use std::io::{Error, ErrorKind, Write};

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Fault, Sink};
use crate::limits::{ZSTD_BLOCK_MAX_BYTES, ZSTD_WINDOW_MAX_BYTES};

const MAGIC: u32 = 0xFD2F_B528;
/// Section 3.1.2: the low four bits are free.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
/// Bytes before the optional fields of a frame header: the magic number and the descriptor.
const HEADER_MIN_BYTES: usize = 5;
const BLOCK_HEADER_BYTES: usize = 3;
const CHECKSUM_BYTES: usize = 4;

pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// Input that does not hold a whole header or block yet.
    pending: Vec<u8>,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    Frame,
    Block {
        checksum: bool,
    },
    /// Bytes of a skippable frame still to come.
    Skip(u64),
}

/// The next step needs more input than there is.
enum Next {
    Wait,
    /// Bytes used.
    Used(usize),
}

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX_BYTES);
        Self {
            decoder,
            pending: Vec::new(),
            at: At::Frame,
        }
    }
}

impl Zstd {
    pub(super) fn is_complete(&self) -> bool {
        self.pending.is_empty() && matches!(self.at, At::Frame | At::Skip(0))
    }

    pub(super) fn push(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(input);
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            let next = match self.at {
                At::Frame => self.frame(rest)?,
                At::Block { checksum } => self.block(rest, checksum, sink)?,
                At::Skip(left) => {
                    let used = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - used as u64;
                    self.at = if left == 0 { At::Frame } else { At::Skip(left) };
                    Next::Used(used)
                }
            };
            match next {
                Next::Wait => break,
                Next::Used(used) => rest = rest.get(used..).unwrap_or_default(),
            }
        }
        let used = pending.len() - rest.len();
        pending.drain(..used);
        self.pending = pending;
        Ok(())
    }

    /// Section 3.1.1.1 and 3.1.2.
    fn frame(&mut self, input: &[u8]) -> Result<Next, Fault> {
        let Some(magic) = little_endian(input, 4) else {
            return Ok(Next::Wait);
        };
        if magic & !0xf == SKIPPABLE_MAGIC {
            let Some(len) = input.get(4..).and_then(|rest| little_endian(rest, 4)) else {
                return Ok(Next::Wait);
            };
            self.at = At::Skip(u64::from(len));
            return Ok(Next::Used(8));
        }
        if magic != MAGIC {
            return Err(Fault::Corrupt);
        }
        let Some(descriptor) = input.get(4).copied() else {
            return Ok(Next::Wait);
        };
        if descriptor & 0x08 != 0 {
            return Err(Fault::Corrupt); // the reserved bit
        }
        let Some(mut header) = input.get(..header_len(descriptor)) else {
            return Ok(Next::Wait);
        };
        let len = header.len();
        self.decoder
            .reset(&mut header)
            .map_err(|error| match error {
                FrameDecoderError::WindowSizeTooBig { .. } => {
                    Fault::WindowTooLarge(ZSTD_WINDOW_MAX_BYTES)
                }
                FrameDecoderError::DictNotProvided { .. } => Fault::NeedsDictionary,
                _ => Fault::Corrupt,
            })?;
        self.at = At::Block {
            checksum: descriptor & 0x04 != 0,
        };
        Ok(Next::Used(len))
    }

    /// Section 3.1.1.2.
    fn block(&mut self, input: &[u8], checksum: bool, sink: &mut Sink<'_>) -> Result<Next, Fault> {
        let Some(header) = little_endian(input, BLOCK_HEADER_BYTES) else {
            return Ok(Next::Wait);
        };
        let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
        if kind == 3 || size > ZSTD_BLOCK_MAX_BYTES {
            return Err(Fault::Corrupt);
        }
        let body = if kind == 1 { 1 } else { size };
        let len = BLOCK_HEADER_BYTES + body + if last && checksum { CHECKSUM_BYTES } else { 0 };
        let Some(mut block) = input.get(..len) else {
            return Ok(Next::Wait);
        };
        let ended = self
            .decoder
            .decode_blocks(&mut block, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| Fault::Corrupt)?;
        self.collect(sink)?;
        if ended {
            if checksum
                && self.decoder.get_checksum_from_data() != self.decoder.get_calculated_checksum()
            {
                return Err(Fault::Corrupt);
            }
            self.at = At::Frame;
        }
        Ok(Next::Used(len))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let mut writer = Writer { sink, fault: None };
        match self.decoder.collect_to_writer(&mut writer) {
            Ok(_) => Ok(()),
            Err(_) => Err(writer.fault.unwrap_or(Fault::Corrupt)),
        }
    }
}

/// Lets the library write into a sink, and remembers why that failed.
struct Writer<'s, 'a> {
    sink: &'s mut Sink<'a>,
    fault: Option<Fault>,
}

impl Write for Writer<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.sink.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(fault) => {
                self.fault = Some(fault);
                Err(Error::from(ErrorKind::OutOfMemory))
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The length of a frame header, from its descriptor.
fn header_len(descriptor: u8) -> usize {
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let content_size = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    HEADER_MIN_BYTES + window + dictionary + content_size
}

fn little_endian(input: &[u8], len: usize) -> Option<u32> {
    let bytes = input.get(..len)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte)),
    )
}
