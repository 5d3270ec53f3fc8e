//! What fetching a key sees of this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::domain::endpoint::Proxy;

use super::process::{Runner, SystemRunner};

/// All variables that Alibaba Cloud's SDKs read begin so (API reference 4.1).
const FAMILY: &str = "ALIBABA_CLOUD_";

/// What fetching a key sees of this machine; tests make their own.
#[derive(Clone)]
pub struct Surroundings {
    /// The environment, as far as it concerns keys.
    pub environment: BTreeMap<String, String>,
    /// Where the files of the tools and SDKs lie.
    pub home: Option<PathBuf>,
    /// Where the metadata service is; `http://100.100.100.200` (API reference 4.3).
    pub metadata: Option<Url>,
    /// Where STS is, whatever else says so; for tests.
    pub sts: Option<Url>,
    /// Which way STS is reached.
    pub proxy: Proxy,
    /// What runs the command of an `External` profile.
    pub runner: Arc<dyn Runner>,
}

impl fmt::Debug for Surroundings {
    /// Leaves the environment's values out: they are the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Surroundings")
            .field("environment", &self.environment.keys())
            .field("home", &self.home)
            .field("metadata", &self.metadata)
            .field("sts", &self.sts)
            .finish_non_exhaustive()
    }
}

impl Default for Surroundings {
    /// A machine without an environment, a home and other files than are named.
    fn default() -> Self {
        Self {
            environment: BTreeMap::new(),
            home: None,
            metadata: None,
            sts: None,
            proxy: Proxy::None,
            runner: Arc::new(SystemRunner),
        }
    }
}

impl Surroundings {
    /// Reads the environment of this process: the one place that does.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            name.starts_with(FAMILY).then_some((name, value))
        });
        Self {
            environment: variables.collect(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            metadata: Url::parse("http://100.100.100.200").ok(),
            ..Self::default()
        }
    }

    /// Returns a variable by what follows `ALIBABA_CLOUD_`; an empty one counts as unset.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(&format!("{FAMILY}{name}"))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns whether a variable is `true`, in any case.
    pub(super) fn says(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}
