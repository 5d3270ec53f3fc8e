//! The results of a simulation side by side, a column for each.

use crate::command::Printer;
use crate::command::words::{count, grouped, span};
use crate::config::{Account, Origin};
use crate::domain::quota::QuotaKind;
use crate::domain::simulate::{Line, Report};

use super::Answer;

/// How many results stand side by side: that many fit a terminal of 100 columns.
const ABREAST: usize = 5;

type Row = (&'static str, fn(&Report) -> String);

/// What is shown of a result.
const ROWS: [Row; 14] = [
    ("asked for  URLs", |report| spent(report, QuotaKind::Url)),
    ("           directories", |report| spent(report, QuotaKind::Directory)),
    ("           regexes", |report| spent(report, QuotaKind::Regex)),
    ("           URLs, any query", |report| spent(report, QuotaKind::IgnoreParams)),
    ("late by    mean", |report| {
        // Whole seconds are enough.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
        let mean = report.lag_seconds.mean.round() as u64;
        span(mean)
    }),
    ("           half within", |report| span(report.lag_seconds.p50)),
    ("           90 % within", |report| span(report.lag_seconds.p90)),
    ("           99 % within", |report| span(report.lag_seconds.p99)),
    ("           all within", |report| span(report.lag_seconds.max)),
    ("parked     files at once", |report| grouped(report.parked_max)),
    ("unchanged  revalidated", |report| grouped(report.collateral.soft)),
    ("           fetched again", |report| grouped(report.collateral.forced)),
    ("held       change sets", |report| grouped(report.held)),
    ("never      changes", |report| grouped(report.uncovered)),
];

fn spent(report: &Report, kind: QuotaKind) -> String {
    grouped(report.spent.get(kind.as_str()).copied().unwrap_or(0))
}

/// What the words of the first column mean.
const WORDS: &str = "\
late by    from a change to its acceptance, the time to settle included
parked     the most files that waited for quota at once
unchanged  objects that a directory or regex refresh reached though they did not change
held       change sets that a guard would have held; taken as approved at once
never      changes that were not accepted within a year";

pub(super) fn show(
    answers: &[Answer],
    history: &[Line],
    origin: &Origin,
    account: &Account,
    printer: &mut Printer,
) {
    show_terms(answers, history, origin, account, printer);
    let label = ROWS.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for abreast in answers.chunks(ABREAST) {
        let rows = ROWS.map(|(_, of)| abreast.iter().map(|one| of(&one.report)).collect());
        let rows: [Vec<String>; ROWS.len()] = rows;
        let width = |at: usize| {
            let cells = rows.iter().map(|row| row[at].len());
            cells.max().unwrap_or(0).max(abreast[at].label().len()) + 3
        };
        let line = |label_text: &str, cells: &[String]| {
            let cells = cells.iter().enumerate();
            let cells = cells.map(|(at, cell)| format!("{cell:>width$}", width = width(at)));
            format!("{label_text:<label$}{}", cells.collect::<String>())
        };
        let names: Vec<String> = abreast.iter().map(Answer::label).collect();
        printer.line("");
        printer.line(&line("", &names));
        for ((label, _), cells) in ROWS.iter().zip(&rows) {
            printer.line(&line(label, cells));
        }
    }
    printer.line("");
    printer.line(WORDS);
    for answer in answers.iter().filter(|answer| answer.report.overspent_days > 0) {
        let days = count(answer.report.overspent_days, "day");
        printer.line(&format!("{}: {days} overspent: this is a bug in refreshd", answer.label()));
    }
}

fn show_terms(
    answers: &[Answer],
    history: &[Line],
    origin: &Origin,
    account: &Account,
    printer: &mut Printer,
) {
    let (Some(first), Some(last), Some(answer)) =
        (history.first(), history.last(), answers.first())
    else {
        printer.line("the history has no line: nothing changed");
        return;
    };
    let Report { changes, unmapped, targets, .. } = answer.report;
    let of_day = |time: &Line| time.time.to_string().split('T').next().unwrap_or("").to_owned();
    printer.line(&format!(
        "{} and {} of origin {} in {}, {} to {}",
        count(changes, "change"),
        count(targets, "URL"),
        origin.name,
        count(history.len() as u64, "change set"),
        of_day(first),
        of_day(last),
    ));
    if unmapped > 0 {
        printer.line(&format!("for {} its rules ask for nothing", count(unmapped, "change")));
    }
    // No change asks by tag, and prefetches are not gone through.
    let refreshes = QuotaKind::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, QuotaKind::Tag | QuotaKind::Prefetch));
    let limit = |kind: QuotaKind| {
        let kind_of = kind.plural().trim_end_matches(" refreshes");
        format!("{} {kind_of}", grouped(account.quota[kind]))
    };
    let limits: Vec<String> = refreshes.map(limit).collect();
    let limits = limits.join(", ");
    printer.line(&format!("a day of account {} allows {limits} refreshes", account.name));
    if account.rules.reserve > 0 {
        let reserve = account.rules.reserve;
        printer.line(&format!("{reserve} % of each are kept for removals and other urgent work"));
    }
}
