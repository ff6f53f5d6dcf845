//! The Authorization header, RFC 9110 section 11.6.2 and RFC 6750 section 2.1.

pub fn bearer(_value: &[u8]) -> Option<&[u8]> {
    None
}
