//! `refreshd wait`: a step of a build that ends once all that was written before it is fresh.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::SharedClock;
use crate::config::{Config, read_duration};
use crate::domain::deploy::DeployId;
use crate::domain::names::OriginName;
use crate::domain::time::Timestamp;
use crate::web::wait::{Call, Ticket};

use super::deploy::summary;
use super::words::{bar, grouped};
use super::{ConfigArg, Exit, Failed, Printer, check, control};

/// Arguments of `refreshd wait`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Which deploy: an id, or the latest with what was cut from it by `deploy_deadline`.
    #[arg(long, value_name = "ID", default_value = LATEST)]
    deploy: String,
    /// Of which origin; of all if none is named.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = timeout)]
    timeout: Duration,
    /// Write the answer as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) const LATEST: &str = "latest";
/// How often the daemon is asked: from the first to the second, doubling.
const EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a daemon that is started anew may take until it answers.
const RESTART: Duration = Duration::from_secs(60);

fn timeout(text: &str) -> Result<Duration, String> {
    read_duration(text).map_err(|why| format!("the duration {why}; write it like 90s or 15m"))
}

/// How a wait for one origin stands.
struct Waiting {
    ticket: Ticket,
    progress: Value,
}

impl Waiting {
    /// Takes an answer. The latest deploy is what it was when all was seen: one that comes later is
    /// no reason to forget it.
    fn take(&mut self, progress: Value) {
        if self.ticket.deploys.is_empty() && progress["seen"] == true {
            let deploys = progress["report"]["deploys"].as_array().into_iter().flatten();
            let ids = deploys.filter_map(|deploy| deploy["id"].as_str());
            self.ticket.deploys = ids.map(|id| DeployId::from_text(id.to_owned())).collect();
        }
        self.progress = progress;
    }

    /// Takes over from a call of another process which deploys are waited for, and since when.
    fn go_on_from(&mut self, before: &[Self]) {
        let same = |one: &&Self| one.ticket.origin == self.ticket.origin;
        if let Some(one) = before.iter().find(same) {
            self.ticket.deploys.clone_from(&one.ticket.deploys);
            self.ticket.since = one.ticket.since;
        }
    }

    fn is_over(&self, left: Duration) -> bool {
        let progress = &self.progress;
        let report = &progress["report"];
        let is_at_rest = report["open"] == 0 && report["gate"].is_null();
        progress["seen"] == true && (report.is_null() || is_at_rest) || is_hopeless(progress, left)
    }

    /// Says on a terminal how far it is.
    fn line(&self) -> String {
        let (origin, report) = (&self.ticket.origin, &self.progress["report"]);
        if self.progress["seen"] != true {
            return format!("{origin}: looking at what was written");
        }
        let intents = report["intents"].as_object().into_iter().flatten();
        let all: u64 = intents.filter_map(|(_, number)| number.as_u64()).sum();
        let open = report["open"].as_u64().unwrap_or_default();
        let left = format!("{} to go", grouped(open));
        format!("{origin}: {} {left}", bar(all.saturating_sub(open), all))
    }

    fn is_done(&self) -> bool {
        let report = &self.progress["report"];
        self.progress["seen"] == true && (report.is_null() || report["done"] == true)
    }
}

/// Waits; exit 0 once all is done, 1 when it isn't in time or ended otherwise, with what isn't done.
pub(super) async fn run(
    args: Args,
    clock: SharedClock,
    printer: &mut Printer,
) -> Result<Exit, Failed> {
    let config = check::load(&args.config, printer)?;
    let deadline = clock.boot() + args.timeout;
    let deploy = (args.deploy != LATEST).then(|| DeployId::from_text(args.deploy.clone()));
    let call = Call { origin: args.origin.as_deref().map(OriginName::from), deploy };
    let mut all = begin(&config, &call).await?;
    let (mut every, mut silent_since, mut shown) = (EVERY.0, None, 0);
    let is_watched = printer.terminal() && !args.json;
    loop {
        let left = deadline.saturating_sub(clock.boot());
        match ask(&config, &call, &mut all).await {
            Ok(()) => silent_since = None,
            // It may be started anew; what was recorded goes on then.
            Err(failed) if failed.exit == Exit::Unavailable => {
                let since = *silent_since.get_or_insert(clock.boot());
                if left.is_zero() || clock.boot() > since + RESTART {
                    return Err(failed);
                }
            }
            Err(failed) => return Err(failed),
        }
        let is_over = silent_since.is_none() && all.iter().all(|one| one.is_over(left));
        if is_over || left.is_zero() {
            break;
        }
        if is_watched {
            let lines: Vec<String> = all.iter().map(Waiting::line).collect();
            printer.lines(&lines, shown);
            shown = lines.len();
        }
        tokio::time::sleep(every.min(left)).await;
        every = (every * 2).min(EVERY.1);
    }
    if shown > 0 {
        // How it ended stands in their place.
        printer.lines(&[], shown);
    }
    let is_done = all.iter().all(Waiting::is_done);
    if args.json {
        let origins: serde_json::Map<String, Value> =
            all.into_iter().map(|one| (one.ticket.origin.to_string(), one.progress)).collect();
        printer.json(&json!({ "done": is_done, "origins": origins }));
    } else {
        for one in &all {
            tell(one, printer);
        }
    }
    Ok(if is_done { Exit::Ok } else { Exit::No })
}

/// Calls the daemon: from now on it makes sure that all written by now is seen.
async fn begin(config: &Config, call: &Call) -> Result<Vec<Waiting>, Failed> {
    let (code, answer) = control::ask(config, "/call", Some(call)).await?;
    if code != 202 {
        let exit = if code == 503 { Exit::Io } else { Exit::No };
        return Err(Failed::new(exit, control::problem(&answer)));
    }
    let tickets: Vec<Ticket> = serde_json::from_value(answer["tickets"].clone())
        .map_err(|error| Failed::new(Exit::Io, format!("the daemon's answer is odd: {error}")))?;
    Ok(tickets.into_iter().map(|ticket| Waiting { ticket, progress: Value::Null }).collect())
}

async fn ask(config: &Config, call: &Call, all: &mut Vec<Waiting>) -> Result<(), Failed> {
    for one in all.iter_mut() {
        let (code, answer) = control::ask(config, "/wait", Some(&one.ticket)).await?;
        match code {
            200 => one.take(answer),
            410 => {
                let mut anew = begin(config, call).await?;
                for one in &mut anew {
                    one.go_on_from(all);
                }
                *all = anew;
                return Ok(());
            }
            _ => return Err(Failed::new(Exit::Io, control::problem(&answer))),
        }
    }
    Ok(())
}

/// Whether all that is open is known to wait for longer than there is time.
fn is_hopeless(progress: &Value, left: Duration) -> bool {
    let reasons = progress["report"]["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    let end = progress["now"].as_i64().map(|now| Timestamp::from_micros(now).plus(left));
    let is_late = |one: &Value| {
        let until = one["until"].as_i64().map(Timestamp::from_micros);
        one["stands"] == "quota" && until > end
    };
    let waits_for_late = reasons.iter().any(|one| one["action"] == "refresh" && is_late(one));
    let without_hope = reasons.iter().filter(|one| match one["stands"].as_str() {
        // A prefetch after its refresh.
        Some("refresh") => waits_for_late,
        Some("quota") => is_late(one),
        _ => false,
    });
    let without_hope: u64 = without_hope.filter_map(|one| one["intents"].as_u64()).sum();
    progress["report"]["open"] == without_hope
}

/// Says how a wait ended.
fn tell(one: &Waiting, printer: &mut Printer) {
    let (origin, report) = (&one.ticket.origin, &one.progress["report"]);
    if one.progress["seen"] != true {
        let note = one.progress["note"].as_str().unwrap_or("the daemon does not answer");
        printer.problem(&format!("{origin}: not all that was written is seen yet: {note}"));
    } else if report.is_null() {
        printer.line(&format!("{origin}: nothing changed since the baseline"));
    } else if one.is_done() {
        printer.line(&summary(report));
    } else {
        printer.problem(&summary(report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_that_comes_later_does_not_stand_for_the_one_that_is_waited_for() {
        let ticket = |pid| Ticket {
            origin: "www".into(),
            ticket: 1,
            pid,
            deploys: Vec::new(),
            since: Timestamp::from_seconds(i64::from(pid)),
        };
        let mut one = Waiting { ticket: ticket(1), progress: Value::Null };
        let answer =
            |seen: bool, id: &str| json!({"seen": seen, "report": {"deploys": [{"id": id}]}});
        one.take(answer(false, "d0"));
        assert_eq!(one.ticket.deploys, []);
        one.take(answer(true, "d1"));
        one.take(answer(true, "d2"));
        let first = [DeployId::from_text("d1".to_owned())];
        assert_eq!(one.ticket.deploys, first);
        let mut anew = Waiting { ticket: ticket(2), progress: Value::Null };
        anew.go_on_from(&[one]);
        assert_eq!(
            (anew.ticket.deploys, anew.ticket.since),
            (first.to_vec(), Timestamp::from_seconds(1))
        );
    }

    #[test]
    fn a_terminal_shows_how_far_it_is() {
        let ticket = Ticket {
            origin: "www".into(),
            ticket: 1,
            pid: 1,
            deploys: Vec::new(),
            since: Timestamp::EPOCH,
        };
        let mut one = Waiting { ticket, progress: Value::Null };
        assert_eq!(one.line(), "www: looking at what was written");
        let intents = json!({"pending": 1_000, "submitted": 200, "done": 2_800});
        one.progress = json!({"seen": true, "report": {"open": 1_200, "intents": intents}});
        assert_eq!(one.line(), "www: [##############......]  70 % 1,200 to go");
    }

    #[test]
    fn what_is_parked_is_hopeless_however_much_it_is() {
        let reason = |action: &str, stands: &str, intents: u64, until: Option<i64>| json!({"action": action, "stands": stands, "intents": intents, "until": until});
        let minutes = |minutes: i64| Some(minutes * 60_000_000);
        let parked = reason("refresh", "quota", 4_000, minutes(16));
        let after = reason("prefetch", "refresh", 150, None);
        let failed = reason("refresh", "failed", 3, None);
        let is_hopeless = |open: u64, reasons: &[&Value]| {
            let progress = json!({"now": 0, "report": {"open": open, "reasons": reasons}});
            is_hopeless(&progress, Duration::from_secs(900))
        };
        assert!(is_hopeless(4_150, &[&failed, &parked, &after]));
        assert!(is_hopeless(0, &[&failed]));
        assert!(!is_hopeless(4_151, &[&parked, &after]), "one is under way");
        assert!(!is_hopeless(4_001, &[&parked, &reason("refresh", "hold", 1, None)]));
        assert!(!is_hopeless(150, &[&after]), "their refreshes are no matter of quota");
        assert!(!is_hopeless(5, &[&reason("refresh", "quota", 5, minutes(14))]));
    }
}
