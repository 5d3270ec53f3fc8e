// The parts of the page: from what is known to elements. Nothing here asks or changes anything.

import { el } from "./dom.js";
import { burn, burnOf, lag, lagOf } from "./plots.js";
import { instant, knows, number, span, t, when } from "./words.js";

const TONES = {
  done: "ok", submitted: "go", submitting: "go", pending: "wait", waiting: "wait", failed: "bad",
  watching: "ok", polling: "ok", baseline: "go", unavailable: "bad", error: "bad", warning: "wait",
};

/** Below this part of a day's quota it is told of as nearly spent. */
const NEARLY = .3;
const CHANGES = { A: "created", M: "modified", D: "removed" };

/** What the daemon says itself stays in its language. */
const said = (text, tag = "span", attributes = {}) => el(tag, { lang: "en", ...attributes }, text);
const code = (text) => el("code", { translate: "no" }, text);
const chip = (state, text) => el("span", { class: `chip ${TONES[state] ?? ""}` }, text);

/** A moment; `zone` for the quota's. */
export function moment(value, zone) {
  const date = instant(value);
  return date && el("time", { datetime: date.toISOString() }, when(date, zone));
}

/** Where an intent stands, in a word. */
function stands(word) {
  const wait = `wait_${word}_s`;
  return knows(wait) ? chip("pending", t(wait)) : chip(word, knows(word) ? t(word) : word);
}

const openOf = ({ intents, outbox, gates }) => intents.pending + intents.submitting + intents.submitted
  + outbox + Object.values(gates ?? {}).reduce((sum, gate) => sum + gate.wishes, 0);

/** The whole state in one line: its tone, its sentence, and what else is to be said. */
export function headline(status) {
  if (!status) return { tone: "", text: t("asking"), sub: "" };
  const gone = Object.entries(status.origins).filter(([, origin]) => origin.state === "unavailable");
  const open = openOf(status);
  const { hold = 0, quota = 0 } = status.intents.waiting ?? {};
  const oldest = open > 0 ? t("oldest", { age: span(status.oldest_open_seconds) }) : "";
  if (gone.length > 0) {
    return { tone: "bad", text: t("unavailable", { names: gone.map(([name]) => name).join(", ") }), sub: oldest };
  }
  if (!status.ready) return { tone: "go", text: t("not_ready"), sub: oldest };
  if (open === 0) return { tone: "ok", text: t("fresh"), sub: t("fresh_sub") };
  if (status.paused.length > 0) return { tone: "wait", text: t("paused_now"), sub: oldest };
  if (hold > 0 && hold === open) return { tone: "wait", text: t("wait_person", { n: hold }), sub: oldest };
  if (quota > 0 && quota + hold === open) return { tone: "wait", text: t("wait_quota", { n: quota }), sub: oldest };
  return { tone: "go", text: t("busy_now", { n: open }), sub: oldest };
}

export function figures(status) {
  const { tone, sub } = headline(status);
  const numbers = status && [
    ["seen", status.outbox + Object.values(status.origins).reduce((sum, origin) => sum + origin.dirty, 0), ""],
    ["waiting", status.intents.pending, "wait"],
    ["submitting", status.intents.submitting, "go"],
    ["submitted", status.intents.submitted, "go"],
    ["failed", status.intents.failed, "bad"],
  ];
  return [
    el("p", { class: `sub ${tone}` }, sub),
    numbers && el("dl", { class: "figures" }, numbers.map(([key, value, hue]) =>
      el("div", { class: value > 0 ? hue : "none" }, el("dt", null, t(key)), el("dd", null, number(value))))),
  ];
}

export function lagPlot(points, width, now) {
  const title = el("h3", null, t("lag"));
  if (!points) return [title, el("p", { class: "soft" }, t("loading"))];
  const told = lagOf(points, now);
  if (!told) return [title, el("p", { class: "soft empty" }, t("lag_none"))];
  return [
    title,
    el("div", { role: "img", "aria-label": t("lag_alt", told) }, lag(points, width, now)),
    el("p", { class: "key", "aria-hidden": "true" },
      el("span", { class: "swatch median" }), t("lag_typical"), " ", el("b", null, told.median),
      el("span", { class: "swatch worst" }), t("lag_worst"), " ", el("b", null, told.worst),
      el("span", null, t("lag_hour"), " ", el("b", null, told.hour))),
  ];
}

export const alarms = (list) => el("ul", { class: "plain" }, list.map((alarm) =>
  el("li", { class: `notice ${TONES[alarm.severity]}`, "data-key": alarm.key },
    el("p", null, el("b", null, t(`severity_${alarm.severity}`)), " ", said(alarm.what), " ",
      alarm.since && el("span", { class: "soft" }, sinceOf(alarm.since))),
    alarm.remedy && el("p", null, t("remedy"), " ", said(alarm.remedy)))));

function sinceOf(value) {
  const [before, after] = t("since", { at: "\u0000" }).split("\u0000");
  return [before, moment(value), after];
}

export const nameOfSet = (set) => t(set.origin ? "held_set" : "held_any", { n: set.intents, origin: set.origin });

export const held = (sets) => el("ul", { class: "plain" }, sets.map((set) =>
  el("li", { class: "notice wait", "data-key": set.deploy },
    el("div", { class: "row" },
      el("div", null,
        el("h3", null, nameOfSet(set)),
        el("p", null, said(set.why), " ", el("span", { class: "soft" }, sinceOf(set.since)))),
      el("p", { class: "buttons" },
        ["approve", "reject"].map((what) => el("button", {
          type: "button", "data-do": "decide", "data-what": what, "data-deploy": set.deploy,
          class: what === "approve" ? "main" : null, "aria-label": `${t(what)}: ${nameOfSet(set)}`,
        }, t(what))))),
    el("p", { class: "soft small" }, t("sample")),
    el("ul", { class: "plain code" }, set.sample.slice(0, 5).map((target) => el("li", null, code(target)))))));

/** A table of rows: a key, and a cell for each head. On a phone it is laid out as blocks, and would be no
 *  table any more without its roles. */
function table(name, kind, heads, rows, under = new Map()) {
  return el("table", { role: "table", class: kind },
    el("caption", { class: "unseen" }, name),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
      heads.map(([head, text]) => el("th", { role: "columnheader", scope: "col", class: head }, text)))),
    el("tbody", { role: "rowgroup" }, rows.map(([key, ...cells]) => [
      el("tr", { role: "row", "data-key": key },
        cells.map((cell, at) => el("td", { role: "cell", class: heads[at][0] }, cell))),
      under.has(key) && el("tr", { role: "row", "data-key": `under-${key}`, class: "under" },
        el("td", { role: "cell", colspan: heads.length }, under.get(key))),
    ])));
}

export function way(status, latest, stories) {
  if (!status) return el("p", { class: "soft" }, t("loading"));
  const paused = status.paused.map((pause) => el("div", { class: "notice wait row", "data-key": `${pause.account}/${pause.origin}` },
    el("p", null, t("paused_of", { of: pause.origin ?? pause.account, at: when(instant(pause.since)), by: pause.by, n: pause.waiting })),
    el("p", { class: "buttons" }, el("button", {
      type: "button", "data-do": "resume", "data-origin": pause.origin, "data-account": pause.origin ? null : pause.account,
    }, t("resume")))));
  const reasons = status.reasons.map((reason) => {
    const zone = reason.stands === "quota" ? "Asia/Shanghai" : undefined;
    return [
      `${reason.action}${reason.stands}${reason.why}`, number(reason.intents), stands(reason.stands),
      [said(reason.why), reason.why && el("br"), el("span", { class: "soft" }, t("such_as"), " ", code(reason.target))],
      reason.until && [moment(reason.until, zone), zone && " UTC+8"],
    ];
  });
  return [
    paused,
    reasons.length > 0
      ? table(t("way"), "reasons", [["n", t("how_many")], ["is", t("stands")], ["what", t("reason")], ["until", t("until")]], reasons)
      : el("p", { class: "soft" }, t("nothing_open")),
    latest?.length > 0 && [el("h3", null, t("latest")), intents(latest, t("latest"), stories)],
  ];
}

/** A table of intents; each opens into its story, as far as `stories` has it. */
function intents(list, name, stories) {
  const heads = [["what", t("target")], ["is", t("stands")], ["time", t("changed")], ["n", t("took")]];
  const rows = list.map((intent) => [
    intent.id,
    [el("button", { type: "button", class: "link", "data-do": "story", "data-id": intent.id, "aria-expanded": String(stories.has(intent.id)) },
      code(intent.target)),
    intent.action === "prefetch" && el("span", { class: "soft" }, ` ${t("prefetch")}`),
    intent.why && said(intent.why, "p", { class: "soft" })],
    stands(intent.stands), moment(intent.created), intent.ended && span((intent.ended - intent.created) / 1000),
  ]);
  const under = [...stories].map(([id, story]) => [id, story ? steps(story) : t("loading")]);
  return table(name, "intents", heads, rows, new Map(under));
}

/** What became of an intent, step by step. */
export function steps({ intent, causes, asks }) {
  const list = causes.slice(0, 3).map((cause) => [cause.at, "step_seen",
    [said(cause.witness), cause.path && [" ", code(cause.path)], cause.change && [" ", said(CHANGES[cause.change] ?? cause.change)]]]);
  list.push([intent.created_at, "step_created", null]);
  for (const ask of asks) {
    list.push([ask.staged_at, "step_staged", [ask.target !== intent.target && code(ask.target), ask.sends > 1 && ` × ${ask.sends}`]]);
    if (ask.batch_state === "refused") list.push([ask.settled_at, "step_refused", said(ask.why ?? "")]);
    list.push([ask.accepted_at, "step_accepted", ask.tasks.length > 0 && [t("job"), " ", code(ask.tasks.join(", ")), ask.status === "running" && ` ${ask.percent} %`]]);
    list.push([ask.ended_at, "step_job", said([ask.status, ask.why].filter(Boolean).join(": "))]);
  }
  list.push([intent.ended_at, "step_ended", [stands(intent.outcome ?? ""), " ", said(intent.why ?? "")]]);
  const known = list.filter(([at]) => at).sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
  return el("ol", { class: "steps plain" }, known.map(([at, key, more]) =>
    el("li", null, moment(at), el("b", null, t(key)), el("span", { class: "soft" }, more))));
}

export function deploys(list, open, details, stories, more) {
  if (!list) return el("p", { class: "soft" }, t("loading"));
  if (list.length === 0) return el("p", { class: "soft" }, t("no_deploys"));
  return [
    el("ul", { class: "plain deploys" }, list.map((deploy) => {
      const is = open.has(deploy.id);
      const counts = Object.entries(deploy.intents).filter(([, n]) => n > 0);
      return el("li", { "data-key": deploy.id },
        el("h3", null, el("button", {
          type: "button", class: "fold", "data-do": "unfold", "data-deploy": deploy.id,
          "aria-expanded": String(is), "aria-controls": `in-${deploy.id}`,
        },
        el("span", { class: "arrow", "aria-hidden": "true" }),
        el("span", { class: "when" }, moment(deploy.opened)),
        el("span", { class: "who" }, deploy.origin),
        el("span", { class: "counts" }, counts.map(([state, n]) => chip(state, `${number(n)} ${knows(state) ? t(state) : state}`)),
          !deploy.closed && chip("submitted", t("still_open"))))),
        el("div", { id: `in-${deploy.id}`, class: "inside", hidden: !is }, is && inside(deploy, details.get(deploy.id), stories)));
    })),
    more && el("p", null, el("button", { type: "button", "data-do": "more" }, t("more"))),
  ];
}

function inside(deploy, detail, stories) {
  if (!detail) return el("p", { class: "soft" }, t("loading"));
  const { seconds } = detail;
  const times = [["closed", seconds.closed], ["first_accepted", seconds.first_accepted], ["last_accepted", seconds.last_accepted], ["last_ended", seconds.ended]];
  return [
    el("dl", { class: "facts" },
      el("div", null, el("dt", null, t("opened")), el("dd", null, moment(deploy.opened))),
      times.filter(([, after]) => after !== null).map(([key, after]) =>
        el("div", null, el("dt", null, t(key)), el("dd", null, `+ ${span(after)}`))),
      detail.asks.length > 0 && el("div", null, el("dt", null, t("calls")), el("dd", null,
        detail.asks.map(({ action, kind, asks }) => t("asks_of", { n: asks, kind: t(action === "prefetch" ? "kind_prefetch" : `kind_${kind}`) })).join(", ")))),
    el("ul", { class: "plain small" }, detail.reasons.filter((reason) => reason.why).map((reason) =>
      el("li", null, number(reason.intents), " ", stands(reason.stands), " ", said(reason.why)))),
    el("h4", null, t("urls")),
    intents(detail.intents, t("urls"), stories),
    detail.changes.length > 0 && [
      el("h4", null, t("changes")),
      el("ul", { class: "plain code" }, detail.changes.map((change) => el("li", null,
        el("span", { class: "soft" }, said(CHANGES[change.change] ?? change.change)), " ", code(change.path)))),
      detail.changed > detail.changes.length && el("p", { class: "soft small" }, t("of_changes", { n: detail.changes.length, all: detail.changed })),
    ],
    el("p", { class: "soft small" }, code(deploy.id)),
  ];
}

export function quota(accounts, status, width, now) {
  if (!accounts) return el("p", { class: "soft" }, t("loading"));
  const turns = accounts[0]?.turns;
  const several = accounts.length > 1;
  return [
    turns && el("p", { class: "soft small" }, t("turns", { age: span(Math.round((turns - now) / 60_000) * 60) })),
    accounts.map((account) => {
      const { note, key } = status?.accounts[account.name] ?? {};
      const used = account.kinds.filter((kind) => kind.used > 0 || kind.out);
      const rest = account.kinds.filter((kind) => !used.includes(kind) && kind.limit > 0);
      return el("div", { "data-key": account.name },
        several && el("h3", null, t("account", { name: account.name })),
        [note, key?.trouble].filter(Boolean).map((text) => el("p", { class: "notice wait" }, said(text))),
        used.map((kind) => el("div", { class: `burn ${kind.left === 0 ? "bad" : kind.left < kind.limit * NEARLY || kind.out ? "wait" : "ok"}`, "data-key": kind.kind },
          el("p", { class: "row" }, el("b", null, t(`kind_${kind.kind}`)), el("span", null, t("left_of", kind))),
          el("div", { role: "img", "aria-label": [t(`kind_${kind.kind}`), ...burnOf(kind)].join("; ") }, burn(kind, width, now)),
          el("p", { class: "soft small" }, [burnOf(kind)[1], kind.foreign > 0 && t("foreign", { n: kind.foreign }),
            kind.reserve > 0 && t("reserve", { n: kind.reserve })].filter(Boolean).join(" · ")))),
        rest.length > 0 && el("dl", { class: "facts" }, el("div", { class: "wide" }, el("dt", null, t("untouched"))),
          rest.map((kind) => el("div", null, el("dt", null, t(`kind_${kind.kind}`)), el("dd", null, number(kind.limit))))));
    }),
  ];
}

export function origins(status) {
  if (!status) return el("p", { class: "soft" }, t("loading"));
  return el("ul", { class: "plain" }, Object.entries(status.origins).map(([name, origin]) => {
    const gate = status.gates?.[name];
    const facts = [
      t("files", { n: origin.files }),
      origin.watch && t("means", { watch: origin.watch }),
      origin.dirty > 0 && t("dirty", { n: origin.dirty }),
      origin.comparing !== null && t("comparing", { n: origin.comparing }),
      origin.undigested > 0 && t("undigested", { n: origin.undigested }),
      origin.baseline_at !== null && t("known_since", { at: when(instant(origin.baseline_at)) }),
      origin.held_open_until && t("held_open", { at: when(instant(origin.held_open_until)) }),
    ].filter(Boolean).join(" · ");
    const listed = (key, list) => list.length > 0 && el("div", { class: "small" }, t(key),
      el("ul", { class: "plain code" }, list.slice(0, 5).map(({ path, why }) => el("li", null, code(path), " ", said(why, "span", { class: "soft" }))),
        list.length > 5 && el("li", null, "…")));
    return el("li", { "data-key": name, class: "origin" },
      el("h3", { class: "row" }, name, chip(origin.state, t(`state_${origin.state}`))),
      el("p", { class: "soft small" }, facts),
      origin.note && el("p", { class: "notice wait" }, said(origin.note)),
      origin.advice && el("p", { class: "small" }, t("remedy"), " ", said(origin.advice, "code")),
      gate && el("p", { class: "notice wait" }, t("at_gate", { n: gate.wishes, at: when(instant(gate.since)), why: gate.why })),
      listed("polled", origin.polled), listed("unmapped", origin.unmapped));
  }));
}

/** What was found: the stories of URLs, or what it may have meant. */
export function found(result) {
  if (!result) return [];
  const { matches = [], story, problem } = result;
  return [
    problem && el("p", { class: "notice wait" }, said(problem)),
    story && [
      el("h3", null, t("story", { q: story.about })),
      story.reasons.map((reason) => el("p", null, said(reason))),
      story.targets.map(({ action, target, intents: stories }) => el("div", { class: "story", "data-key": `${action} ${target}` },
        el("h4", null, code(target), action === "prefetch" && ` ${t("prefetch")}`),
        stories.map((one) => el("div", { "data-key": one.intent.id },
          el("p", null, stands(one.intent.wait ?? one.intent.outcome ?? one.intent.state), " ", said(one.intent.why ?? "")), steps(one))))),
      story.files.map((file) => [
        el("h4", null, t("mapping"), ": ", file.origin, " ", code(file.path)),
        el("ul", { class: "plain small" },
          file.rules.filter((rule) => rule.fired).map((rule) => el("li", null, code(rule.rule), " ", said(rule.why))),
          file.targets.map((target) => el("li", null, "→ ", code(target)))),
      ]),
    ],
    matches.length > 0 && [
      el("h3", null, t("matches")),
      el("ul", { class: "plain" }, matches.map((match) => el("li", { "data-key": match },
        el("button", { type: "button", class: "link", "data-do": "pick", "data-q": match }, code(match))))),
    ],
  ];
}
