//! Another YAML file of ours, read and complained about like the configuration.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::decode::decode;
use super::fault::{Fault, Faults, Source};
use super::load::read;
use super::node::Node;
use super::place::Place;

/// What a file says, and the means to complain about it.
pub struct Document<T> {
    pub value: T,
    source: Arc<Source>,
}

impl<T: DeserializeOwned> Document<T> {
    /// # Errors
    ///
    /// The first thing that keeps it from being read.
    pub fn read(file: &Path) -> Result<Self, Faults> {
        let (_, text) = read(Some(file), file)?;
        let source = Arc::new(Source { file: Some(file.display().to_string()), text, ..Source::default() });
        let tree = Node::parse(&source.text).map_err(|fault| Faults::one(&source, fault))?;
        let value = decode(&tree).map_err(|fault| Faults::one(&source, fault))?;
        Ok(Self { value, source })
    }
}

impl<T> Document<T> {
    /// What is wrong with what was read; `None` where nothing is.
    pub fn faults(&self, wrong: impl IntoIterator<Item = (Place, String)>) -> Option<Faults> {
        let faults = wrong.into_iter().map(|(place, message)| Fault::new(place, message)).collect();
        Faults::gather(&self.source, faults)
    }
}
