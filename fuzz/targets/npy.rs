#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gstbgremove::fuzz::npy(data));
