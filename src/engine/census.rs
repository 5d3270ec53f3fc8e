//! What lives: read from the indexes of an account's origins, when a plan asks for it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::cover::{Census, Visit};
use crate::domain::index::Index;
use crate::domain::mapping::Mapping;
use crate::domain::path::RelPath;
use crate::domain::url::CanonicalUrl;

/// The trees that an account's domains serve.
#[derive(Clone, Default)]
pub struct Trees(Vec<(Arc<Mapping>, Arc<RwLock<Index>>)>);

impl Trees {
    /// Adds an origin's tree.
    pub fn add(&mut self, mapping: Arc<Mapping>, index: Arc<RwLock<Index>>) {
        self.0.push((mapping, index));
    }
}

impl fmt::Debug for Trees {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} trees", self.0.len())
    }
}

impl Census for Trees {
    /// Locks an index for a directory at a time, so that nobody waits long for it. What changes
    /// meanwhile is counted as it is found: a census is a weight, no promise.
    fn visit(&self, visit: Visit<'_>) {
        for (mapping, index) in &self.0 {
            let read = || index.read().unwrap_or_else(PoisonError::into_inner);
            let directories: Vec<RelPath> = read().directories_below(&RelPath::root()).collect();
            for directory in directories {
                let names: Vec<_> = read().names(&directory).map(|(name, _)| name).collect();
                for name in names {
                    let Ok(path) = directory.join(&name) else { continue };
                    let urls = mapping.urls(&path).made;
                    let urls: Vec<&str> = urls.iter().map(CanonicalUrl::as_str).collect();
                    visit(&urls, mapping.weight(&path));
                }
            }
        }
    }
}
