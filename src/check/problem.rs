//! What a refusal says in its body, whoever asked: RFC 9457, with our code and the request's id beside it.

use serde::{Serialize, Serializer};

use crate::domain::denial::Notice;

#[derive(Serialize)]
pub struct Problem<'a> {
    r#type: Type,
    title: &'a str,
    status: u16,
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl<'a> Problem<'a> {
    /// `status` is the one that is sent, which an asker may want to be another than the notice's.
    pub fn new(notice: &'a Notice, status: u16, request_id: &'a str) -> Self {
        let Notice { title, code, message, .. } = *notice;
        Self { r#type: Type(code), title, status, code, message, request_id }
    }
}

/// A name for the kind of problem, made of its code.
struct Type(&'static str);

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("urn:doorward:code:{}", self.0))
    }
}
