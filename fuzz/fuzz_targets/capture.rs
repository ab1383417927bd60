//! Any bytes are a capture or none. See `oneport_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneport_testkit::fuzz::capture(bytes));
