//! Three endpoints that transfer, trunk and show pictures. See `oneport_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oneport_testkit::fuzz::meeting(bytes));
