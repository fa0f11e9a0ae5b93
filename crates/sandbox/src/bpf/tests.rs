//! The translation, by an interpreter of the few instructions that it uses.

use super::*;
use proptest::prelude::*;

/// What the kernel would do.
fn run(program: &Program, arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    let mut words = vec![nr, arch, 0, 0];
    for arg in args {
        words.extend([arg as u32, (arg >> 32) as u32]);
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let step = program.0[at];
        at += 1;
        match step.code {
            LOAD_WORD => accumulator = words[step.k as usize / 4],
            AND => accumulator &= step.k,
            JUMP_EQUAL => at += usize::from(if accumulator == step.k { step.jt } else { step.jf }),
            JUMP_AT_LEAST => at += usize::from(if accumulator >= step.k { step.jt } else { step.jf }),
            RETURN => return step.k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn sample() -> Program {
    Program::new(&[
        (7, Rule::Is(Action::Errno(1))),
        (8, Rule::when_any(0, 0x30, Action::Errno(2))),
        (
            9,
            Rule::when(
                1,
                u32::MAX,
                &[3, 5],
                Rule::when(2, 0xf, &[1], Rule::Is(Action::Notify), Rule::Is(Action::Allow)),
                Rule::Is(Action::Errno(3)),
            ),
        ),
    ])
    .unwrap()
}

#[test]
fn another_calling_convention_is_killed() {
    assert_eq!(run(&sample(), 0x4000_0003, 7, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    assert_eq!(run(&sample(), ARCH_X86_64, X32_BIT + 7, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    assert_eq!(run(&sample(), ARCH_X86_64, X32_BIT - 1, [0; 6]), libc::SECCOMP_RET_ALLOW);
}

proptest! {
    #[test]
    fn a_program_decides_as_its_rules_read(nr in 0u32..12, args in proptest::array::uniform6(any::<u64>()), near in 0u64..8) {
        let args = [args[0], if near < 7 { near } else { args[1] }, args[2], args[3], args[4], args[5]];
        let expected = match nr {
            7 => Action::Errno(1),
            8 if args[0] & 0x30 != 0 => Action::Errno(2),
            9 => match (args[1] as u32, args[2] & 0xf) {
                (3 | 5, 1) => Action::Notify,
                (3 | 5, _) => Action::Allow,
                _ => Action::Errno(3),
            },
            _ => Action::Allow,
        };
        prop_assert_eq!(run(&sample(), ARCH_X86_64, nr, args), expected.value());
    }
}

#[test]
fn a_jump_that_does_not_fit_is_refused() {
    const MANY: &[u32] = &[1; 300];
    let rule = Rule::when(0, u32::MAX, MANY, Rule::Is(Action::Allow), Rule::Is(Action::Kill));
    assert_eq!(Program::new(&[(1, rule)]).unwrap_err(), TooLong);
}
