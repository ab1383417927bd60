//! Any payloads are heard. See `oneport_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneport_testkit::fuzz::codecs(bytes));
