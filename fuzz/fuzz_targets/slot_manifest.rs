#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bennu_fuzz_replay::slot_manifest(data);
});
