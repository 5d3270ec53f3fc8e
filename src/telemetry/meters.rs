//! Meters: what is counted where it happens, handed around, and told at `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use table::{Meter, Sort};

mod table;

/// More series than this of one metric are counted together: labels name what is configured or documented,
/// and nothing of that is so many.
const MOST_SERIES: usize = 1_000;
/// What stands in the labels of what is counted together.
const OTHER: &str = "other";

/// Upper bounds of a call, a commit or a request, in seconds.
const QUICK: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// Upper bounds of the way of a change, in seconds: from a second to a day.
const SLOW: [f64; 14] = [
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 14_400.0,
    86_400.0,
];

/// The labels of a series, by name.
pub type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

#[derive(Debug)]
struct Inner {
    counters: BTreeMap<Meter, Family<Labels, Counter>>,
    histograms: BTreeMap<Meter, Histograms>,
    known: Mutex<BTreeSet<(Meter, Labels)>>,
}

/// All that is counted; cheap to clone.
#[derive(Clone, Debug)]
pub struct Meters(Arc<Inner>);

impl Default for Meters {
    fn default() -> Self {
        let (mut counters, mut histograms) = (BTreeMap::new(), BTreeMap::new());
        for meter in Meter::ALL.iter().copied() {
            match meter.sort() {
                Sort::Counter => drop(counters.insert(meter, Family::default())),
                Sort::Quick => {
                    let make: fn() -> Histogram = || Histogram::new(QUICK);
                    histograms.insert(meter, Family::new_with_constructor(make));
                }
                Sort::Slow => {
                    let make: fn() -> Histogram = || Histogram::new(SLOW);
                    histograms.insert(meter, Family::new_with_constructor(make));
                }
                Sort::Gauge | Sort::Told => {}
            }
        }
        // What has no labels is there from the first scrape on.
        for (meter, family) in &counters {
            if meter.labels().is_empty() {
                drop(family.get_or_create(&Labels::new()));
            }
        }
        for (meter, family) in &histograms {
            if meter.labels().is_empty() {
                drop(family.get_or_create(&Labels::new()));
            }
        }
        Self(Arc::new(Inner { counters, histograms, known: Mutex::default() }))
    }
}

impl Meters {
    /// Counts `number` more; `values` are those of the metric's labels, in its order.
    pub fn add(&self, meter: Meter, values: &[&str], number: u64) {
        if let Some(family) = self.0.counters.get(&meter) {
            family.get_or_create(&self.labels(meter, values)).inc_by(number);
        }
    }

    /// Counts one more.
    pub fn count(&self, meter: Meter, values: &[&str]) {
        self.add(meter, values, 1);
    }

    /// Takes in how long something took.
    pub fn took(&self, meter: Meter, values: &[&str], time: Duration) {
        if let Some(family) = self.0.histograms.get(&meter) {
            family.get_or_create(&self.labels(meter, values)).observe(time.as_secs_f64());
        }
    }

    /// Returns how much was counted of one series.
    #[must_use]
    pub fn total(&self, meter: Meter, values: &[&str]) -> u64 {
        let family = self.0.counters.get(&meter);
        family.map_or(0, |family| family.get_or_create(&meter.labelled(values)).get())
    }

    /// Registers all that was counted.
    pub fn register(&self, registry: &mut Registry) {
        for (meter, family) in &self.0.counters {
            registry.register(meter.name(), meter.help(), family.clone());
        }
        for (meter, family) in &self.0.histograms {
            registry.register(meter.name(), meter.help(), family.clone());
        }
    }

    fn labels(&self, meter: Meter, values: &[&str]) -> Labels {
        let labels = meter.labelled(values);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (meter, labels.clone());
        if !known.contains(&key) {
            if known.iter().filter(|(of, _)| *of == meter).count() >= MOST_SERIES {
                return meter.labelled(&vec![OTHER; meter.labels().len()]);
            }
            known.insert(key);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_as_prometheus_wants_them() {
        let mut names = BTreeSet::new();
        for meter in Meter::ALL {
            let name = meter.name();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(plain), "{name}");
            assert!(!name.ends_with("_total"), "{name}: the encoder adds that");
            let is_time = matches!(meter.sort(), Sort::Quick | Sort::Slow);
            assert!(!is_time || name.ends_with("_seconds"), "{name}");
            assert!(!meter.help().ends_with('.'), "{name}: the encoder adds that");
            let labels = meter.labels();
            assert!(labels.iter().all(|label| label.chars().all(plain)), "{name}");
            let foreign = ["url", "path", "target", "host", "source", "deploy"];
            assert!(labels.iter().all(|label| !foreign.contains(label)), "{name}");
            assert!(names.insert(name), "{name} is there twice");
        }
    }

    #[test]
    fn too_many_series_are_counted_together() {
        let meters = Meters::default();
        for number in 0..MOST_SERIES + 10 {
            meters.count(Meter::Changes, &[&format!("o{number}"), "watch"]);
        }
        assert_eq!(meters.total(Meter::Changes, &["o0", "watch"]), 1);
        assert_eq!(meters.total(Meter::Changes, &[OTHER, OTHER]), 10);
        meters.count(Meter::Changes, &["o0", "watch"]);
        assert_eq!(meters.total(Meter::Changes, &["o0", "watch"]), 2);
    }
}
