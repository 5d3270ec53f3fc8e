// Two plots, drawn for the width they have: the day's lag, and how a quota burns down.

import { el } from "./dom.js";
import { clock, span, t } from "./words.js";

const DAY = 86_400_000;
const HOUR = 3_600_000;
/** Where lines lie in the plot of the lag, in seconds: it may be a second or a day. */
const LINES = [1, 10, 60, 600, 3_600, 36_000, 86_400 * 3];

/** Draws the lag: for each ten minutes a bar from the median to the worst, and a mark at the median. */
export function lag(points, width, now) {
  const height = 150;
  const [left, right, top, bottom] = [48, 6, 8, 22];
  const start = now - DAY;
  const shown = points.filter((point) => point.at.getTime() > start);
  const worst = Math.max(50, ...shown.map((point) => point.worst));
  const above = worst * 1.25;
  const below = [...LINES].reverse().find((line) => line <= Math.min(worst, ...shown.map((point) => point.median))) ?? 1;
  const low = Math.log(Math.min(below, above / 10));
  const x = (at) => left + ((at - start) / DAY) * (width - left - right);
  const y = (seconds) => {
    const part = (Math.log(Math.max(seconds, 1e-3)) - low) / (Math.log(above) - low);
    return top + (1 - Math.min(1, Math.max(0, part))) * (height - top - bottom);
  };
  const rows = LINES.filter((line) => Math.log(line) >= low - 1e-9 && line <= above).map((line) => el("g", null,
    el("line", { class: "grid", x1: left, x2: width - right, y1: y(line), y2: y(line) }),
    el("text", { x: left - 6, y: y(line) + 4, "text-anchor": "end" }, span(line))));
  const step = width < 420 ? 6 : 3;
  const first = new Date(start);
  first.setMinutes(0, 0, 0);
  const hours = [];
  for (let at = first.getTime() + HOUR; at < now; at += HOUR) {
    const date = new Date(at);
    if (date.getHours() % step === 0) {
      hours.push(el("text", { x: x(at), y: height - 6, "text-anchor": x(at) > width - 24 ? "end" : "middle" }, clock(date)));
    }
  }
  const wide = Math.max(2, (width - left - right) / 144 - 1);
  const bars = shown.map((point) => {
    const at = Math.min(x(point.at.getTime()), width - right - wide);
    return el("g", null,
      el("rect", { class: "worst", x: at, width: wide, y: y(point.worst), height: Math.max(1, y(point.median) - y(point.worst)) }),
      el("rect", { class: "median", x: at, width: wide, y: y(point.median) - 1, height: 2.5 }));
  });
  return el("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, rows, hours, bars);
}

/** What the lag is in words: of the day and of its last hour; null where nothing ended. */
export function lagOf(points, now) {
  if (points.length === 0) return null;
  const middle = (of) => of.map((point) => point.median).sort((a, b) => a - b)[Math.floor(of.length / 2)];
  const hour = points.filter((point) => point.at.getTime() > now - HOUR);
  return {
    median: span(middle(points)),
    worst: span(Math.max(...points.map((point) => point.worst))),
    hour: hour.length > 0 ? span(middle(hour)) : t("none_yet"),
  };
}

/** Draws what is left of a day: what was, and, dashed, what is likely to come. */
export function burn(quota, width, now) {
  const height = 64;
  const [top, bottom] = [4, 14];
  const start = quota.turns.getTime() - DAY;
  const x = (at) => ((at - start) / DAY) * width;
  const y = (left) => top + (1 - Math.max(0, Math.min(left, quota.limit)) / quota.limit) * (height - top - bottom);
  let left = quota.limit;
  const points = [[0, y(left)]];
  const hour = Math.floor((now - start) / HOUR);
  const counted = quota.hours.slice(0, hour + 1).reduce((sum, spent) => sum + spent, 0);
  // What others spent is known as a sum only: it lies at the end.
  quota.hours.slice(0, hour + 1).forEach((spent, at) => {
    left -= spent;
    points.push([x(Math.min(now, start + (at + 1) * HOUR)), y(left)]);
  });
  if (counted !== quota.used) points.push([x(now), y(quota.left)]);
  const path = points.map(([px, py], at) => `${at === 0 ? "M" : "L"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  const end = start + DAY;
  const tail = quota.out ? `M${x(now)} ${y(quota.left)}L${x(quota.out.getTime())} ${y(0)}`
    : quota.expected === null ? "" : `M${x(now)} ${y(quota.left)}L${x(end)} ${y(quota.left - quota.expected)}`;
  return el("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    el("line", { class: "grid", x1: 0, x2: width, y1: y(0), y2: y(0) }),
    el("path", { class: "area", d: `${path}L${x(now)} ${y(0)}L0 ${y(0)}Z` }),
    el("path", { class: "line", d: path }),
    tail && el("path", { class: "tail", d: tail }),
    el("line", { class: "now", x1: x(now), x2: x(now), y1: top, y2: y(0) }),
    [0, 6, 12, 18, 24].map((at) => el("text", {
      x: x(start + at * HOUR), y: height - 2, "text-anchor": at === 0 ? "start" : at === 24 ? "end" : "middle",
    }, `${String(at).padStart(2, "0")}:00`)));
}

/** What a day's quota is in words. */
export function burnOf(quota) {
  const notes = [t("left_of", quota)];
  if (quota.out) notes.push(t("forecast_out", { at: clock(quota.out, "Asia/Shanghai") }));
  else notes.push(quota.expected === null ? t("forecast_none") : t("forecast_lasts", { n: quota.expected }));
  return notes;
}
