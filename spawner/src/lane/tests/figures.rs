//! Measurements, run by hand in release: `cargo test --release -p rivix-spawner
//! lane::tests::figures -- --ignored --nocapture --test-threads=1`.
