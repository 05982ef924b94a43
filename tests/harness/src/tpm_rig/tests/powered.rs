//! The TPM's power goes and comes back between two commands.

use super::*;

/// Reset count and restart count.
fn counts(rig: &mut Rig) -> (u32, u32) {
    let clock = rig.ask(NO_SESSIONS, TpmCommand::READ_CLOCK, &[]);
    assert_eq!(ResponseCode::of(&clock), Some(ResponseCode::SUCCESS));
    let number = |at: usize| u32::from_be_bytes(clock[at..at + 4].try_into().unwrap());
    (number(26), number(30))
}

fn pcr_10(rig: &mut Rig) -> Vec<u8> {
    let answer = rig.ask(NO_SESSIONS, TpmCommand::PCR_READ, &PCR_10);
    answer[answer.len() - 32..].to_vec()
}

#[test]
fn a_resume_keeps_the_pcrs_and_a_reset_does_not_and_each_raises_its_count() {
    let mut rig = rig(Vec::new());
    rig.send(&pcr_extend(10, PcrBank::Sha256, &[1; 32])).unwrap();
    let (resets, restarts) = counts(&mut rig);
    let extended = pcr_10(&mut rig);
    assert_ne!(extended, [0; 32]);

    rig.proxy.watch().power(TpmPower::Resume);
    assert_eq!(counts(&mut rig), (resets, restarts + 1));
    assert_eq!(pcr_10(&mut rig), extended);

    rig.proxy.watch().power(TpmPower::Reset);
    assert_eq!(counts(&mut rig), (resets + 1, 0));
    assert_eq!(pcr_10(&mut rig), [0; 32]);
    assert_eq!(rig.proxy.watch().powered(), 2);
    assert_eq!(rig.trouble(), [""; 0]);
}
