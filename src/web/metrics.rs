//! `GET /metrics`: all numbers, for Prometheus and its relatives.
//!
//! What is counted comes from the meters; the rest is read when it is asked for, at most once a second.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::domain::time::Timestamp;
use crate::telemetry::meters::{Labels, Meter, Meters, Sort};

use super::{Desk, Desks, health};

mod process;
mod read;

/// What was read is told again for so long.
const KEPT: Duration = Duration::from_secs(1);
/// The form that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Returns the routes for who looks after the daemon: metrics and health.
pub fn routes(desks: Desks) -> Router {
    Router::new()
        .route("/metrics", get(answer))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/healthz", get(health::answer))
        .with_state(desks)
}

/// Answers `GET /metrics`: in `OpenMetrics` for who takes that, else in Prometheus' older text; 503 when
/// the database can't be read, and without what is in it when it does not answer.
pub async fn answer(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let is_open = headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains(OPEN_METRICS)));
    let text = match exposition(&desk).await {
        Ok(text) => text,
        Err(why) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    };
    if is_open {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(CONTENT_TYPE, kind)], text.to_string()).into_response();
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], older(&text)).into_response()
}

/// Returns all numbers in the form of `OpenMetrics`.
async fn exposition(desk: &Desk) -> Result<Arc<str>, String> {
    let mut last = desk.told.metrics.lock().await;
    let boot = desk.clock.boot();
    if let Some((at, text)) = &*last
        && boot.saturating_sub(*at) < KEPT
    {
        return Ok(Arc::clone(text));
    }
    let reading = read::all(desk).await.map_err(|error| error.to_string())?;
    let text: Arc<str> = written(&desk.meters, &reading).map_err(|error| error.to_string())?.into();
    *last = Some((desk.clock.boot(), Arc::clone(&text)));
    Ok(text)
}

/// Values that are read when they are asked for.
#[derive(Debug, Default)]
struct Reading(Vec<(Meter, Labels, f64)>);

impl Reading {
    fn put(&mut self, meter: Meter, values: &[&str], value: f64) {
        self.0.push((meter, meter.labelled(values), value));
    }

    #[expect(clippy::cast_precision_loss, reason = "no count is so large that it matters")]
    fn number(&mut self, meter: Meter, values: &[&str], value: u64) {
        self.put(meter, values, value as f64);
    }

    fn flag(&mut self, meter: Meter, values: &[&str], value: bool) {
        self.put(meter, values, f64::from(u8::from(value)));
    }

    fn time(&mut self, meter: Meter, values: &[&str], at: Timestamp) {
        self.put(meter, values, seconds(at.as_micros()));
    }

    fn span(&mut self, meter: Meter, values: &[&str], span: Duration) {
        self.put(meter, values, span.as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of these centuries fit")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1_000_000.0
}

fn written(meters: &Meters, reading: &Reading) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    meters.register(&mut registry);
    for meter in Meter::ALL.iter().copied() {
        let values = reading.0.iter().filter(|(of, _, _)| *of == meter);
        match meter.sort() {
            Sort::Gauge => {
                let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
                for (_, labels, value) in values {
                    family.get_or_create(labels).set(*value);
                }
                registry.register(meter.name(), meter.help(), family);
            }
            Sort::Told => {
                let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
                for (_, labels, value) in values {
                    family.get_or_create(labels).inc_by(*value);
                }
                registry.register(meter.name(), meter.help(), family);
            }
            Sort::Counter | Sort::Quick | Sort::Slow => {}
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    // The encoder writes braces around no labels; no value of ours has any. And it leaves out what has no
    // series yet, which is to be known all the same.
    let mut text = text.replace("{} ", " ");
    text.truncate(text.trim_end_matches("# EOF\n").len());
    for meter in Meter::ALL {
        let (name, sort) = (meter.name(), meter.sort().as_str());
        if !text.contains(&format!("# TYPE {name} ")) {
            let help = meter.help();
            write!(text, "# HELP {name} {help}.\n# TYPE {name} {sort}\n")?;
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// Turns `OpenMetrics` into the older form: there a counter's name ends in `_total` where it is described,
/// too, and nothing marks the end.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let is_counter = |name: &str| {
        Meter::ALL.iter().any(|meter| meter.name() == name && meter.sort().as_str() == "counter")
    };
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if is_counter(name) => {
                let _ = writeln!(out, "# {what} {name}_total {rest}");
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let meters = Meters::default();
        meters.count(Meter::Changes, &["w\"w", "watch"]);
        meters.took(Meter::ToDone, &[], Duration::from_secs(3));
        let mut reading = Reading::default();
        reading.flag(Meter::Ready, &[], true);
        reading.number(Meter::Ended, &["done"], 5);
        let text = written(&meters, &reading).expect("text");
        let open: Vec<&str> = text.lines().collect();
        assert!(open.contains(&"# TYPE refreshd_changes counter"), "{text}");
        let sample = "refreshd_changes_total{origin=\"w\\\"w\",witness=\"watch\"} 1";
        assert!(open.contains(&sample), "{text}");
        assert_eq!(open.last(), Some(&"# EOF"));
        let older = older(&text);
        let lines: Vec<&str> = older.lines().collect();
        assert!(lines.contains(&"# TYPE refreshd_changes_total counter"), "{older}");
        assert!(lines.contains(&sample), "{older}");
        assert!(lines.contains(&"refreshd_ready 1.0"), "{older}");
        assert!(lines.contains(&"refreshd_intents_ended_total{outcome=\"done\"} 5.0"), "{older}");
        assert!(lines.contains(&"refreshd_change_to_done_seconds_bucket{le=\"5.0\"} 1"), "{older}");
        assert!(!older.contains("EOF"));
    }
}
