//! Brotli (RFC 7932), without the large-window extension.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Fault, Sink};

/// Output produced per step.
const STEP_BYTES: usize = 32 << 10;

pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    step: Vec<u8>,
    ended: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: BrotliState::new_strict(alloc(), alloc(), alloc()),
            step: vec![0; STEP_BYTES],
            ended: false,
        }
    }
}

impl Brotli {
    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }

    pub(super) fn push(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        let (mut left, mut used, mut total) = (input.len(), 0, 0);
        while !self.ended {
            let (mut room, mut made) = (self.step.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut used,
                input,
                &mut room,
                &mut made,
                &mut self.step,
                &mut total,
                &mut self.state,
            );
            sink.write(self.step.get(..made).unwrap_or_default())?;
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::ResultFailure => return Err(Fault::Corrupt),
            }
        }
        if left > 0 {
            Err(Fault::TrailingData)
        } else {
            Ok(())
        }
    }
}
