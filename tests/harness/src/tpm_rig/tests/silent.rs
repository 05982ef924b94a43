//! The TPM says nothing for a while.

use super::*;

#[test]
fn a_command_that_meets_a_silent_tpm_is_answered_when_that_is_over() {
    let mut rig = rig(Vec::new());
    let watch = rig.proxy.watch();
    assert_eq!(
        (rig.random(), watch.held()),
        (ResponseCode::SUCCESS, 0),
        "control"
    );
    watch.silence();
    let over = std::thread::spawn({
        let watch = watch.clone();
        move || {
            while watch.held() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(100));
            watch.answer();
            Instant::now()
        }
    });
    assert_eq!(rig.random(), ResponseCode::SUCCESS);
    assert!(Instant::now() >= over.join().unwrap());
    assert_eq!((rig.random(), watch.held()), (ResponseCode::SUCCESS, 1));
    assert_eq!(rig.trouble(), [""; 0]);
}

#[test]
fn a_guest_that_goes_while_the_tpm_is_silent_ends_the_wait() {
    let mut rig = rig(Vec::new());
    rig.proxy.watch().silence();
    rig.data
        .write_all(&message(NO_SESSIONS, TpmCommand::GET_RANDOM.0, &[0, 8]))
        .unwrap();
    while rig.proxy.watch().held() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    rig.proxy.finish();
    assert!(begun.elapsed() < Duration::from_secs(10));
}
