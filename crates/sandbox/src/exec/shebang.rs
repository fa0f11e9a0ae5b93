//! The `#!` line, read as the kernel reads it (`fs/binfmt_script.c`): from the first 256 bytes, one optional argument.

use super::limits::PATH_BYTES_MAX;

/// `BINPRM_BUF_SIZE`.
pub const HEAD_BYTES: usize = 256;

/// What a `#!` line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shebang {
    /// Path of the interpreter, as written.
    pub interpreter: Vec<u8>,
    /// Everything behind it, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// What the first bytes of a file say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A binary.
    Elf,
    /// A script with an interpreter.
    Script(Shebang),
    /// Neither. The kernel refuses it, unless `binfmt_misc` knows better, and a shell then reads it as a script of its own.
    Other,
}

/// What `head`, the first 256 bytes or all of a shorter file, says.
#[must_use]
pub fn read(head: &[u8]) -> Head {
    if head.starts_with(b"\x7fELF") {
        return Head::Elf;
    }
    match line(head) {
        Some(shebang) => Head::Script(shebang),
        None => Head::Other,
    }
}

fn line(head: &[u8]) -> Option<Shebang> {
    let mut buffer = [0u8; HEAD_BYTES];
    for (to, from) in buffer.iter_mut().zip(head) {
        *to = *from;
    }
    let rest = buffer.strip_prefix(b"#!")?;
    let line = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => rest.get(..end)?,
        None => {
            // No end in sight: unless something ends the path, it may be cut off, and the kernel refuses it.
            let from = rest.iter().position(|byte| !blank(*byte))?;
            rest.get(from..)?.iter().position(|byte| blank(*byte) || *byte == 0)?;
            rest.get(..rest.len().checked_sub(1)?)?
        }
    };
    let line = line.get(..line.iter().rposition(|byte| !blank(*byte))? + 1)?;
    let line = line.get(line.iter().position(|byte| !blank(*byte))?..)?;
    let end = line.iter().position(|byte| blank(*byte) || *byte == 0).unwrap_or(line.len());
    let interpreter = line.get(..end)?.to_vec();
    let argument = match line.get(end) {
        Some(byte) if blank(*byte) => {
            let rest = line.get(end..)?;
            let from = rest.iter().position(|byte| !blank(*byte));
            from.and_then(|from| rest.get(from..)).map(until_nul)
        }
        _ => None,
    };
    (!interpreter.is_empty() && interpreter.len() < PATH_BYTES_MAX).then_some(Shebang { interpreter, argument })
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|byte| *byte != 0).collect()
}

const fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(interpreter: &str, argument: Option<&str>) -> Head {
        Head::Script(Shebang { interpreter: interpreter.into(), argument: argument.map(Into::into) })
    }

    #[test]
    fn a_line_is_read_as_the_kernel_reads_it() {
        assert_eq!(read(b"#!/bin/sh\necho"), script("/bin/sh", None));
        assert_eq!(read(b"#! \t/bin/sh \t -e -u \t\n"), script("/bin/sh", Some("-e -u")));
        assert_eq!(read(b"#!/bin/sh"), script("/bin/sh", None), "a file that ends with its first line");
        assert_eq!(read(b"#!/bin/sh -x"), script("/bin/sh", Some("-x")));
        assert_eq!(read(b"#!/bin/sh\r\n"), script("/bin/sh\r", None));
        assert_eq!(read(b"#!a\0b c\n"), script("a", None));
        assert_eq!(read(b"\x7fELF\x02"), Head::Elf);
        for other in [&b""[..], b"#", b"#!", b"#!\n/bin/sh", b"#! \t \n", b"echo hi", b" #!/bin/sh\n"] {
            assert_eq!(read(other), Head::Other, "{other:?}");
        }
    }

    #[test]
    fn a_path_that_may_be_cut_off_is_no_script() {
        let long = |n: usize| [b"#!/".as_slice(), &vec![b'a'; n]].concat();
        // 253 letters fill the buffer to its last byte; 252 leave the zero that ends the path.
        assert_eq!(read(&long(253)), Head::Other);
        assert!(matches!(read(&long(252)), Head::Script(_)));
        assert!(matches!(read(&[long(100), b" ".to_vec(), vec![b'b'; 400]].concat()), Head::Script(_)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            if let Head::Script(shebang) = read(&[b"#!".as_slice(), &bytes].concat()) {
                proptest::prop_assert!(!shebang.interpreter.is_empty());
                proptest::prop_assert!(!shebang.interpreter.iter().any(|byte| blank(*byte) || *byte == 0 || *byte == b'\n'));
            }
        }
    }
}
