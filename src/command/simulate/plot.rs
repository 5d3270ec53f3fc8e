//! A picture of what each result costs: how late changes were against how many unchanged objects were
//! hit. Further left and further down is better.

use std::fmt::Write as _;

use super::Answer;
use crate::command::words::grouped;
use crate::config::read_duration;

/// The picture's size, and the edges of the area that is plotted in.
const SIZE: (f64, f64) = (900.0, 560.0);
const LEFT: f64 = 90.0;
const RIGHT: f64 = 760.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 490.0;

/// Lags that may be marked.
const LAGS: &str = "1s 10s 1m 5m 10m 20m 30m 1h 2h 3h 6h 12h 1d 3d 7d 30d 365d 3650d";

/// A result as a point: unchanged objects, mean lag in seconds.
struct Point {
    label: String,
    hit: f64,
    lag: f64,
    is_cover: bool,
}

/// Draws the results. The lag is on a logarithmic scale: what matters is how many times later.
pub(super) fn draw(answers: &[Answer]) -> String {
    let points: Vec<Point> = answers.iter().map(point).collect();
    let most = nice(points.iter().map(|point| point.hit).fold(1.0, f64::max));
    let least = points.iter().map(|point| point.lag).fold(f64::INFINITY, f64::min);
    let longest = points.iter().map(|point| point.lag).fold(1.0, f64::max);
    let seconds = |name: &str| read_duration(name).map_or(0.0, |lag| lag.as_secs_f64());
    let marks: Vec<(f64, &str)> = LAGS.split(' ').map(|name| (seconds(name), name)).collect();
    let high = marks.iter().find(|mark| mark.0 > longest).map_or(longest, |mark| mark.0);
    let low = marks.iter().rfind(|mark| mark.0 < least).map_or(0.1, |mark| mark.0);
    let x = |hit: f64| LEFT + (RIGHT - LEFT) * hit / most;
    let y = |lag: f64| BOTTOM - (BOTTOM - TOP) * (lag.max(low) / low).ln() / (high / low).ln();

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
        font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE.0, SIZE.1
    );
    let middle = f64::midpoint(LEFT, RIGHT);
    text(&mut svg, LEFT, 24.0, "start", "Mean lag of a change, from its time to its acceptance");
    text(&mut svg, middle, BOTTOM + 50.0, "middle", "Unchanged objects hit, in all");
    for (lag, name) in marks.iter().filter(|(lag, _)| (low..=high).contains(lag)) {
        line(&mut svg, (LEFT, y(*lag)), (RIGHT, y(*lag)), "#ddd");
        text(&mut svg, LEFT - 8.0, y(*lag) + 4.0, "end", name);
    }
    for step in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let hit = most * step;
        line(&mut svg, (x(hit), TOP), (x(hit), BOTTOM), "#ddd");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let name = grouped(hit.round() as u64);
        text(&mut svg, x(hit), BOTTOM + 20.0, "middle", &name);
    }
    let mut frontier: Vec<&Point> = points.iter().filter(|point| point.is_cover).collect();
    frontier
        .sort_by(|one, other| one.hit.total_cmp(&other.hit).then(one.lag.total_cmp(&other.lag)));
    for pair in frontier.windows(2) {
        let at = |point: &Point| (x(point.hit), y(point.lag));
        line(&mut svg, at(pair[0]), at(pair[1]), "#1668b0");
    }
    // Labels stand above and to the right, where the line between points isn't, and make room for one
    // another.
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by(|one, other| y(other.lag).total_cmp(&y(one.lag)));
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for point in order {
        let (at_x, at_y) = (x(point.hit), y(point.lag));
        let mut label_y = at_y - 8.0;
        while let Some(other) = taken
            .iter()
            .find(|taken| (taken.0 - at_x).abs() < 130.0 && (taken.1 - label_y).abs() < 15.0)
        {
            label_y = other.1 - 15.0;
        }
        taken.push((at_x, label_y));
        let colour = if point.is_cover { "#1668b0" } else { "#b04a16" };
        line(&mut svg, (at_x, at_y), (at_x + 10.0, label_y - 4.0), "#999");
        let _ = writeln!(svg, r#"<circle cx="{at_x:.1}" cy="{at_y:.1}" r="5" fill="{colour}"/>"#);
        text(&mut svg, at_x + 12.0, label_y, "start", &point.label);
    }
    svg.push_str("</svg>\n");
    svg
}

fn point(answer: &Answer) -> Point {
    let collateral = answer.report.collateral;
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let hit = (collateral.soft + collateral.forced) as f64;
    let (label, lag) = (answer.label(), answer.report.lag_seconds.mean);
    Point { label, hit, lag, is_cover: answer.policy == "cover" }
}

/// Returns the least of 1, 2, 4, 6, 8 and their tenfolds that holds a number.
fn nice(number: f64) -> f64 {
    let scale = 10_f64.powf(number.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0]
        .map(|step| step * scale)
        .into_iter()
        .find(|nice| *nice >= number)
        .unwrap_or(10.0 * scale)
        .max(4.0)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}
