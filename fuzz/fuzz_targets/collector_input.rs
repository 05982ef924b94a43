#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bennu_fuzz_replay::collector_input(data);
});
