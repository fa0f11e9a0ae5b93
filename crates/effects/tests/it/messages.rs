//! The worker's protocol.

use crate::bash;
use marque_effects::protocol::{
    FRAME_HEAD_BYTES, ProtocolError, decode_command, decode_reading, encode_command, encode_reading, frame, frame_length,
};
use marque_effects::{Command, EnvChange, Executable, Script, ScriptSource, limits};
use proptest::prelude::*;

fn command() -> impl Strategy<Value = Command> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let change = (bytes(), proptest::option::of(bytes())).prop_map(|(name, value)| EnvChange { name, value });
    let script = (any::<bool>(), bytes(), any::<bool>())
        .prop_map(|(file, text, complete)| Script { source: if file { ScriptSource::File } else { ScriptSource::Stdin }, text, complete });
    let executable = (bytes(), any::<bool>(), proptest::option::of(bytes()))
        .prop_map(|(path, workspace_writable, interpreter)| Executable { path, workspace_writable, interpreter });
    (proptest::collection::vec(bytes(), 0..6), proptest::collection::vec(change, 0..4), bytes(), proptest::option::of(script), executable)
        .prop_map(|(argv, env, cwd, script, executable)| Command { argv, env, cwd, script, executable })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_is_read_back_as_it_was(command in command()) {
        let bytes = encode_command(&command);
        prop_assert_eq!(decode_command(&bytes), Ok(command));
        for cut in 0..bytes.len() {
            prop_assert!(decode_command(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(decode_command(&[&bytes[..], &[0]].concat()), Err(ProtocolError::Long));
    }

    #[test]
    fn what_is_read_is_written_as_the_same_bytes(bytes in proptest::collection::vec(0u8..3, 0..60)) {
        let bytes = [&[1], &bytes[..]].concat();
        if let Ok(command) = decode_command(&bytes) {
            prop_assert_eq!(encode_command(&command), bytes.clone());
        }
        if let Ok(reading) = decode_reading(&bytes) {
            prop_assert_eq!(encode_reading(&reading), bytes);
        }
    }
}

#[test]
fn a_reading_is_read_back_as_it_was() {
    for text in ["true", "aws s3 rm s3://prod/k; $X; PAGER=x git log; make; env", "( ( ( ( ( ( ( ("] {
        let reading = bash(text);
        let bytes = encode_reading(&reading);
        assert_eq!(decode_reading(&bytes), Ok(reading));
        assert!((0..bytes.len()).all(|cut| decode_reading(&bytes[..cut]).is_err()));
    }
}

#[test]
fn a_frame_announces_at_most_the_limit() {
    let head = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
    assert_eq!(frame_length(head(limits::MESSAGE_BYTES_MAX)), Ok(limits::MESSAGE_BYTES_MAX));
    assert_eq!(frame_length(head(limits::MESSAGE_BYTES_MAX + 1)), Err(ProtocolError::Limit));
    let framed = frame(&[7; 3]).unwrap();
    assert_eq!(framed.len(), FRAME_HEAD_BYTES + 3);
    assert_eq!(frame(&vec![0; limits::MESSAGE_BYTES_MAX + 1]), Err(ProtocolError::Limit));
}

#[test]
fn another_version_and_impossible_values_are_refused() {
    let bytes = encode_reading(&bash("aws s3 rm s3://b/k"));
    assert_eq!(decode_reading(&[&[2], &bytes[1..]].concat()), Err(ProtocolError::Version));
    assert_eq!(decode_command(&[1, 255, 255, 255, 255]), Err(ProtocolError::Limit));
    assert_eq!(decode_command(&[]), Err(ProtocolError::Short));
}
