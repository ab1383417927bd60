//! Voice on its way between two legs that differ. See `oneport_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneport_testkit::fuzz::transcoder(bytes));
