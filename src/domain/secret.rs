//! The text of our own secrets: `dw_<kind>_<handle 12>_<secret 32><crc 6>`.
