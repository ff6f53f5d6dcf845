//! The compact form of RFC 7515 section 7.1: three parts in base64url between two dots.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::{Refused, members};

/// A token that was taken apart. Nothing of it is believed yet.
pub(super) struct Compact<'t> {
    /// What the signature is over.
    pub(super) signed: &'t [u8],
    pub(super) header: Header,
    payload: &'t [u8],
    signature: &'t [u8],
}

/// What a header says about the token. Keys and addresses of keys in it are never read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
    /// Lower case, without `application/`.
    pub(super) typ: Option<String>,
}

impl<'t> Compact<'t> {
    /// # Errors
    ///
    /// Where it is not exactly that form, or says something that would have to be understood.
    pub(super) fn parse(token: &'t [u8]) -> Result<Self, Refused> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::Form);
        };
        let header = members::read(&decode(header)?).ok_or(Refused::Header)?;
        let signed = &token[..token.len() - signature.len() - 1];
        Ok(Self { signed, header: Header::read(&header)?, payload, signature })
    }

    /// The payload's members.
    pub(super) fn payload(&self) -> Result<Map<String, Value>, Refused> {
        members::read(&decode(self.payload)?).ok_or(Refused::Payload)
    }

    /// Bytes, encoded.
    pub(super) fn payload_length(&self) -> usize {
        self.payload.len()
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, Refused> {
        decode(self.signature)
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Refused> {
        // `crit`: each extension would have to be understood (RFC 7515 section 4.1.11); we know
        // none. The others change what the payload is: unencoded (RFC 7797), compressed, encrypted,
        // or another token.
        if NOT_UNDERSTOOD.iter().any(|name| members.contains_key(*name)) {
            return Err(Refused::Extension);
        }
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Refused::Header),
        };
        let algorithm = text("alg")?.and_then(Algorithm::named).ok_or(Refused::Algorithm)?;
        let key = text("kid")?;
        if key.is_some_and(|key| key.len() > LONGEST_KEY_ID) {
            return Err(Refused::Header);
        }
        let typ = text("typ")?.map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        });
        Ok(Self { algorithm, key: key.map(str::to_owned), typ })
    }
}

const NOT_UNDERSTOOD: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// Bytes.
const LONGEST_KEY_ID: usize = 256;

/// Strict: no padding, no blanks, no bits to spare, and never empty.
pub(super) fn decode(part: &[u8]) -> Result<Vec<u8>, Refused> {
    if part.is_empty() {
        return Err(Refused::Form);
    }
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Form)
}
