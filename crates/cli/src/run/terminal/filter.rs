//! What an agent may say to its user's terminal: text, colours, the cursor. Not: the window's title, the clipboard, notifications,
//! files, or anything wrapped for a multiplexer to unwrap.

/// Most digits of a command's number.
const DIGITS_MAX: usize = 8;
/// Longest control sequence that passes.
const CONTROL_BYTES_MAX: usize = 256;

/// Operating system commands that pass: colours and their queries, hyperlinks, marks of prompts.
const PASSES: &[&str] = &["4", "8", "10", "11", "12", "104", "110", "111", "112", "133"];

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
/// First byte of a control character of the second set in UTF-8.
const C1: u8 = 0xc2;

/// Where in the output's language the next byte stands (ECMA-48; xterm's control sequences).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After an escape, or the first byte of what may stand for one.
    Introducer(u8),
    /// In a control sequence, until its last byte.
    Control,
    /// In the number of an operating system command.
    Number,
    /// In a string that passes, or does not.
    String { passes: bool },
    /// The same, after a byte that may be the first of its end.
    Ending { passes: bool, first: u8 },
}

/// A filter of an agent's output. Bytes in, bytes out, in pieces of any size.
#[derive(Debug)]
pub(super) struct Filter {
    state: State,
    /// What is held back until it is known what it belongs to.
    held: Vec<u8>,
}

impl Filter {
    pub(super) const fn new() -> Self {
        Self { state: State::Ground, held: Vec::new() }
    }

    /// Adds what passes of `bytes` to `out`.
    pub(super) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            self.state = self.next(*byte, out);
        }
    }

    fn next(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match self.state {
            State::Ground => self.ground(byte, out),
            State::Introducer(first) => self.introduced(first, byte, out),
            State::Control => self.control(byte, out),
            State::Number => self.number(byte, out),
            State::String { passes } => Self::string(passes, byte, out),
            State::Ending { passes, first } => self.ending(passes, first, byte, out),
        }
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        if matches!(byte, ESC | C1) {
            self.held = vec![byte];
            return State::Introducer(byte);
        }
        out.push(byte);
        State::Ground
    }

    fn introduced(&mut self, first: u8, byte: u8, out: &mut Vec<u8>) -> State {
        match (first, byte) {
            (ESC, b']') | (C1, 0x9d) => {
                self.held.push(byte);
                State::Number
            }
            (ESC, b'[') | (C1, 0x9b) => {
                self.held.push(byte);
                State::Control
            }
            // An escape that begins nothing is not let out: what follows in the output would be taken for what it begins.
            (ESC, ESC | 0x80..) => {
                self.held.clear();
                self.ground(byte, out)
            }
            // Terminals obey it at once, and go on with what the escape began.
            (ESC, CAN | SUB) => {
                self.held.clear();
                self.ground(byte, out)
            }
            (ESC, 0..=0x1a | 0x1c..=0x1f | 0x7f) => {
                out.push(byte);
                State::Introducer(ESC)
            }
            // Device control, start of string, privacy message, application program command.
            (ESC, b'P' | b'X' | b'^' | b'_') | (C1, 0x90 | 0x98 | 0x9e | 0x9f) => State::String { passes: false },
            _ => {
                out.append(&mut self.held);
                self.ground(byte, out)
            }
        }
    }

    fn control(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            CAN | SUB | ESC => {
                self.held.clear();
                self.ground(byte, out)
            }
            // Obeyed at once, in the middle of it.
            0..0x20 | 0x7f => {
                out.push(byte);
                State::Control
            }
            0x40..0x7f => {
                let held = std::mem::take(&mut self.held);
                // To a printer, and whatever asks the window something or tells it.
                if !matches!(byte, b'i' | b't') && held.len() <= CONTROL_BYTES_MAX {
                    out.extend(held);
                    out.push(byte);
                }
                State::Ground
            }
            _ => {
                if self.held.len() <= CONTROL_BYTES_MAX {
                    self.held.push(byte);
                }
                State::Control
            }
        }
    }

    fn number(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        if byte.is_ascii_digit() && self.held.len() < DIGITS_MAX {
            self.held.push(byte);
            return State::Number;
        }
        let digits: String = self.held.iter().filter(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        let passes = PASSES.contains(&digits.as_str()) && matches!(byte, b';' | BEL | ESC | C1);
        if passes {
            out.append(&mut self.held);
        }
        self.held.clear();
        Self::string(passes, byte, out)
    }

    fn string(passes: bool, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            ESC | C1 => State::Ending { passes, first: byte },
            BEL | CAN | SUB => {
                if passes {
                    out.push(byte);
                }
                State::Ground
            }
            _ => {
                if passes {
                    out.push(byte);
                }
                State::String { passes }
            }
        }
    }

    fn ending(&mut self, passes: bool, first: u8, byte: u8, out: &mut Vec<u8>) -> State {
        match (first, byte) {
            (ESC, b'\\') | (C1, 0x9c) => {
                if passes {
                    out.extend([first, byte]);
                }
                State::Ground
            }
            // Any other escape ends the string, and begins something of its own.
            (ESC, _) => {
                if passes {
                    out.extend([ESC, b'\\']);
                }
                self.held = vec![ESC];
                self.introduced(ESC, byte, out)
            }
            _ => {
                if passes {
                    out.push(first);
                }
                Self::string(passes, byte, out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Filter::new().pass(bytes, &mut out);
        out
    }

    #[test]
    fn text_colours_and_the_cursor_pass_as_they_are() {
        let plain: &[&[u8]] = &[
            b"hello\r\n",
            "gr\u{f6}\u{df}e \u{540d} \u{2500}".as_bytes(),
            b"\x1b[1;31mred\x1b[0m\x1b[2J\x1b[?1049h",
            b"\x1b]8;;https://a.test\x1b\\link\x1b]8;;\x1b\\",
            b"\x1b]11;?\x07",
            b"\x1b]104\x07",
            b"\x1b(B\x1b7\x1b8",
        ];
        for bytes in plain {
            assert_eq!(filtered(bytes), *bytes, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn neither_title_nor_clipboard_nor_what_is_wrapped_passes() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"a\x1b]0;title\x07b", b"ab"),
            (b"a\x1b]2;title\x1b\\b", b"ab"),
            (b"a\x1b]52;c;Y3VybA==\x07b", b"ab"),
            (b"a\x1b]052;c;Y3VybA==\x07b", b"ab"),
            (b"a\x1b]52;c;Y3VybA==\xc2\x9cb", b"ab"),
            (b"a\xc2\x9d52;c;Y3VybA==\x07b", b"ab"),
            (b"a\x1b]9;notice\x07\x1b]777;notify;x\x07\x1b]1337;File=:AAAA\x07b", b"ab"),
            (b"a\x1b]l;title\x07b", b"ab"),
            (b"a\x1b]\x07b", b"ab"),
            (b"a\x1bPtmux;\x1b\x1b]52;c;AAAA\x07\x1b\\b", b"a\x1b\\b"),
            (b"a\x1b_payload\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\b", b"ab"),
            (b"a\x1b]8;;x\x1b]52;c;AAAA\x07b", b"a\x1b]8;;x\x1b\\b"),
            (b"a\x1b]99999999999999;x\x07b", b"ab"),
            (b"a\x1b]52;c;AAAA\x18b", b"ab"),
            (b"a\x1b\x1b]52;c;AAAA\x07b", b"ab"),
            (b"a\x1b\x1b]0;x\x07]52;c;AAAA\x07b", b"a]52;c;AAAA\x07b"),
            (b"a\x1b\xc2\x9d0;x\x07]52;c;AAAA\x07b", b"a]52;c;AAAA\x07b"),
            (b"a\x1b\xc2\x9d52;c;AAAA\x07b", b"ab"),
            (b"a\x1b]52;c;never ended", b"a"),
            (b"a\x1b\0]52;c;AAAA\x07b", b"a\0b"),
            (b"a\x1b\r]2;title\x07b", b"a\rb"),
            (b"a\x1b\x7f]2;title\x07b", b"a\x7fb"),
            (b"a\x1b\0Ptmux;x\x1b\\b", b"a\0b"),
            (b"a\x1b]8;;x\x1b\0]52;c;AAAA\x07b", b"a\x1b]8;;x\x1b\\\0b"),
            (b"a\x1b\x18]2;b", b"a\x18]2;b"),
            (b"a\x1b[5ib\x1b[21tc\x1b[2;0td", b"abcd"),
            (b"a\x1b[5\0ib", b"a\0b"),
            (b"a\xc2\x9b5ib", b"ab"),
            (b"a\x1b[1\x1b]52;c;AAAA\x07b", b"ab"),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(filtered(bytes).escape_ascii().to_string(), wanted.escape_ascii().to_string(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn it_does_not_matter_how_the_output_is_cut() {
        let bytes = b"a\x1b]0;t\x07b\x1b]8;;x\x1b\\c\xc2\x9d52;c;A\xc2\x9cd\x1bPq\x1b\\e\x1b[31mf\xe2\x9d\xa4";
        let whole = filtered(bytes);
        for size in 1..bytes.len() {
            let (mut filter, mut out) = (Filter::new(), Vec::new());
            bytes.chunks(size).for_each(|piece| filter.pass(piece, &mut out));
            assert_eq!(out, whole, "in pieces of {size}");
        }
    }
}
