// What the page knows, when it asks anew, and what a person may do.

import { ask, hear, Refused, token } from "./data.js";
import { el, fill } from "./dom.js";
import * as parts from "./parts.js";
import { t, tag, toggle, when } from "./words.js";

const $ = (id) => document.getElementById(id);
const body = (section) => $(section).lastElementChild;

/** How long until the next attempt, in seconds, after so many failed ones. */
const BACKOFF = [1, 2, 4, 8, 15, 30];
/** How often the state is asked for where there are no events, in milliseconds. */
const POLL = 5_000;
/** How often at most what hangs on the state is asked for again, in milliseconds. */
const FOLLOW = 2_000;
/** How often plots and quota are, though nothing happens. */
const SLOW = 60_000;
const PAGE = 20;
/** How many intents of a deploy are shown. */
const SHOWN = 100;

const now = () => Date.now();
const date = (value) => (value ? new Date(value) : null);

const state = {
  status: null, seenAt: null, mode: "connecting", again: null, busy: "",
  lag: null, quota: null, latest: null, deploys: null, after: null, more: PAGE,
  open: new Set(), details: new Map(), stories: new Map(), result: null, problem: "",
};

// What the daemon answers, in the shapes that the parts of the page draw.

const intentOf = (told) => ({
  id: told.id, action: told.action, target: told.target, stands: told.wait ?? told.outcome ?? told.state,
  why: told.why ?? "", path: told.path ?? "", created: date(told.created_at), ended: date(told.ended_at),
});

const deployOf = (told) => ({
  id: told.id, origin: told.origin, opened: told.opened_at, closed: told.closed_at, intents: told.intents,
});

const pointOf = (told) => ({ at: date(told.at), median: told.median_seconds, worst: told.worst_seconds });

const quotaOf = ({ account, turns_at, kinds }) => ({
  name: account, turns: date(turns_at),
  kinds: kinds.map((kind) => ({ ...kind, turns: date(turns_at), out: date(kind.runs_out) })),
});

// Asking.

/** Asks for something that the page can do without; what is wrong shows elsewhere. */
async function get(path) {
  try {
    return await ask(path);
  } catch (error) {
    if (error instanceof Refused) await refused(error);
    return null;
  }
}

/** A token that holds no more is forgotten; where reading needs one, it is asked for. */
async function refused(error) {
  if (error.status === 403 && token.get()) {
    token.set(null);
    say(t("token_gone"));
    draw();
  } else if (error.status !== 401) {
    return;
  }
  if (error.status === 401 || !state.status) await signIn();
}

let followed = 0;
let following = null;

/** Asks for what hangs on the state: soon, but not with every event. */
function follow() {
  following ??= setTimeout(async () => {
    following = null;
    followed = now();
    await Promise.all([askDeploys(), askLatest(), ...[...state.open].map(askDetail), ...[...state.stories.keys()].map(askStory)]);
    draw();
  }, Math.max(0, followed + FOLLOW - now()));
}

let slowly = 0;

/** Asks for plots and quota: when something ended, and now and then. */
function followSlowly(ended) {
  if (now() - slowly < (ended ? FOLLOW * 2 : SLOW)) return;
  slowly = now();
  Promise.all([askLag(), askQuota()]).then(draw);
}

async function askDeploys() {
  const told = await get(`deploys?limit=${state.more}`);
  if (told) [state.deploys, state.after] = [told.items.map(deployOf), told.next];
}

async function askLatest() {
  const told = await get("intents?limit=8");
  if (told) state.latest = told.items.map(intentOf);
}

async function askLag() {
  const told = await get("lag");
  if (told) state.lag = told.points.map(pointOf);
}

async function askQuota() {
  const told = await get("quota");
  if (told) state.quota = told.items.map(quotaOf);
}

async function askDetail(id) {
  const at = encodeURIComponent(id);
  const [told, list] = await Promise.all([get(`deploys/${at}`), get(`intents?deploy=${at}&limit=${SHOWN}`)]);
  if (!told || !list) return;
  // A part may be short, though others follow.
  for (let { next } = list; next && list.items.length < SHOWN;) {
    const rest = await get(`intents?deploy=${at}&limit=${SHOWN}&after=${encodeURIComponent(next)}`);
    list.items.push(...(rest?.items ?? []));
    next = rest?.next;
  }
  const { seconds, asks, reasons } = told.report;
  state.details.set(id, { seconds, asks, reasons, changes: told.changes, changed: told.changed, intents: list.items.map(intentOf) });
}

/** Asks for the story of an intent, until it has ended. */
async function askStory(id) {
  if (state.stories.get(id)?.intent.ended_at) return;
  const story = await get(`intents/${id}`);
  if (story && state.stories.has(id)) state.stories.set(id, story);
}

const askAll = () => {
  slowly = 0;
  followSlowly(true);
  follow();
};

// The state, by events or by asking.

function heard(status, mode) {
  const before = state.status;
  const was = state.mode;
  Object.assign(state, { status, mode, seenAt: new Date(), again: null, busy: "" });
  failures = 0;
  const sum = (of) => JSON.stringify([of.intents, of.outbox, of.held.length, Object.values(of.origins).map((origin) => origin.deploy)]);
  if (!before || was === "lost") askAll();
  else if (sum(before) !== sum(status)) follow();
  followSlowly(before && before.intents.done !== status.intents.done);
  announce(before, status, was);
  draw();
}

/** The daemon lives, but can't tell its state: what is shown is old until it does. */
function troubled(why) {
  Object.assign(state, { mode: "lost", busy: why });
  draw();
}

/** Says aloud what a person who does not see the page should know. */
function announce(before, status, was) {
  if (!before) return;
  const known = new Set((before.alarms ?? []).map((alarm) => alarm.key));
  const fresh = (status.alarms ?? []).filter((alarm) => !known.has(alarm.key));
  const lines = [was === "lost" && t("found_again"), ...fresh.map((alarm) => `${t(`severity_${alarm.severity}`)}: ${alarm.what}`)];
  if (status.held.length > before.held.length) lines.push(`${t("held")}: ${parts.nameOfSet(status.held.at(-1))}`);
  if (parts.headline(before).tone !== parts.headline(status).tone) lines.push(parts.headline(status).text);
  const text = lines.filter(Boolean).join(". ");
  if (text) say(text);
}

let failures = 0;
let wake = () => {};

async function live() {
  let events = true;
  for (;;) {
    const stop = new AbortController();
    cut = () => stop.abort();
    try {
      if (events && await hear((status) => heard(status, "live"), troubled, stop.signal) === false) events = false;
      if (!events) {
        heard(await ask("status"), "polling");
        await rest(POLL);
        continue;
      }
      // A stream that ends is a daemon that is started anew, or a place that somebody else needs.
      heard(await ask("status"), "polling");
      await rest(1_000);
    } catch (error) {
      if (stop.signal.aborted) continue;
      await lost(error);
    }
  }
}

let cut = () => {};

async function lost(error) {
  if (error instanceof Refused) {
    await refused(error);
    if (error.status < 500) {
      // Whoever does not sign in now may do so later.
      await rest(token.get() || state.status ? BACKOFF[0] * 1_000 : SLOW);
      return;
    }
    state.busy = error.message;
  }
  const seconds = BACKOFF[Math.min(failures, BACKOFF.length - 1)];
  failures += 1;
  // One broken stream is no news: the next attempt comes at once.
  if (failures > 1 || !state.status) Object.assign(state, { mode: "lost", again: now() + seconds * 1_000 });
  draw();
  await rest(seconds * 1_000);
}

const rest = (time) => new Promise((resolve) => {
  const timer = setTimeout(resolve, time);
  wake = () => {
    clearTimeout(timer);
    resolve();
  };
});

// Drawing.

const say = (text) => fill($("say"), text);

let drawing = false;

/** Draws once for all that changed by the next frame. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    paint();
  });
}

function paint() {
  const { status } = state;
  document.documentElement.lang = tag();
  for (const node of document.querySelectorAll("[data-t]")) fill(node, t(node.dataset.t));
  fill($("language"), t("other"));
  $("language").lang = tag() === "en" ? "zh-CN" : "en";
  fill($("sign"), t(token.get() ? "sign_out" : "sign_in"));
  fill($("link"), el("span", { class: `dot ${{ live: "ok", polling: "ok", lost: "bad" }[state.mode] ?? ""}`, "aria-hidden": "true" }),
    t(state.mode === "lost" ? "lost" : state.mode));
  fill($("lost"), state.mode === "lost" && el("p", null, el("b", null, state.busy ? t("busy", { why: state.busy }) : t("lost")), " ",
    state.seenAt && t("lost_since", { at: when(state.seenAt) }), " ",
    el("button", { type: "button", "data-do": "again" }, t("again"))), state.problem && el("p", null, state.problem, " ",
    el("button", { type: "button", "data-do": "forget" }, t("close"))));
  const { tone, text } = parts.headline(status);
  $("now").dataset.tone = tone;
  fill($("h-now"), el("span", { class: `mark ${tone}`, "aria-hidden": "true" }), text);
  document.title = status ? `${text} · refreshd` : "refreshd";
  fill($("figures"), parts.figures(status));
  fill($("lag"), parts.lagPlot(state.lag, Math.max(260, $("lag").clientWidth), now()));
  section("alarms", status?.alarms, parts.alarms);
  section("held", status?.held, parts.held);
  fill(body("way"), parts.way(status, state.latest, state.stories));
  fill(body("deploys"), parts.deploys(state.deploys, state.open, state.details, state.stories, state.after));
  fill(body("quota"), parts.quota(state.quota, status, Math.max(200, body("quota").clientWidth), now()));
  fill(body("origins"), parts.origins(status));
  fill($("found"), parts.found(state.result));
  fill($("foot"), status && t("footer", { version: status.version, pid: String(status.pid) }));
}

function section(name, list, make) {
  $(name).hidden = !list?.length;
  if (list?.length) fill(body(name), make(list));
}

// What a person does.

const dialogOf = (node) => node.closest("dialog");

/** Asks for the token; resolves to whether there is one now. */
function signIn() {
  const dialog = $("token");
  if (!dialog.open) {
    fill($("token-problem"));
    $("secret").value = "";
    dialog.showModal();
    $("secret").focus();
  }
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(Boolean(token.get())), { once: true });
  });
}

/** Asks whether a decision is meant; resolves to the answer. */
function sure(what, set) {
  const name = parts.nameOfSet(set);
  fill($("h-sure"), t(`sure_${what}`, { what: name }));
  fill($("sure-why"), t(`why_${what}`));
  fill($("sure-sample"), set.sample.slice(0, 5).map((target) => el("li", null, el("code", { translate: "no" }, target))));
  fill($("sure-yes"), t(what));
  const dialog = $("sure");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Changes something; signs in first where that is needed. */
async function change(path, told, done) {
  for (;;) {
    if (!token.get() && !await signIn()) return;
    try {
      say(done(await ask(path, { body: told })));
      state.problem = "";
      break;
    } catch (error) {
      if (error instanceof Refused && [401, 403].includes(error.status)) {
        token.set(null);
        continue;
      }
      state.problem = t("not_done", { why: error.message });
      draw();
      return;
    }
  }
  try {
    heard(await ask("status"), state.mode);
  } catch {
    // The stream tells of it, or that nobody answers.
  }
  askAll();
}

const doing = {
  language() {
    toggle();
    draw();
  },
  async sign() {
    if (token.get()) {
      token.set(null);
      say(t("signed_out"));
      cut();
    } else if (await signIn()) {
      say(t("signed_in"));
    }
    draw();
  },
  async token() {
    const shown = $("secret").value.trim();
    try {
      await ask("status", { shown });
      token.set(shown);
      dialogOf($("secret")).close();
      cut();
      wake();
      askAll();
    } catch (error) {
      fill($("token-problem"), error instanceof Refused && [401, 403].includes(error.status) ? t("token_wrong") : error.message);
      $("secret").select();
      $("secret").focus();
    }
    draw();
  },
  close: (node) => dialogOf(node).close(""),
  sure: (node) => dialogOf(node).close("yes"),
  async decide({ dataset: { what, deploy } }) {
    const set = state.status?.held.find((one) => one.deploy === deploy);
    if (!set || !token.get() && !await signIn() || !await sure(what, set)) return;
    const path = `deploys/${encodeURIComponent(deploy)}/${what}`;
    await change(path, { through: set.through }, ({ decided }) => t(what === "approve" ? "approved" : "rejected_n", { n: decided }));
    $("h-now").focus();
  },
  resume({ dataset: { origin, account } }) {
    return change("resume", origin ? { origin } : { account }, () => t("resumed"));
  },
  async unfold({ dataset: { deploy } }) {
    if (!state.open.delete(deploy)) {
      state.open.add(deploy);
      draw();
      await askDetail(deploy);
    }
    draw();
  },
  async story({ dataset: { id } }) {
    const at = Number(id);
    if (!state.stories.delete(at)) {
      state.stories.set(at, null);
      draw();
      await askStory(at);
    }
    draw();
  },
  async more() {
    state.more = Math.min(500, state.more + PAGE);
    await askDeploys();
    draw();
  },
  again: () => wake(),
  forget() {
    state.problem = "";
    draw();
  },
  search: () => look($("q").value.trim()),
  pick({ dataset: { q } }) {
    $("q").value = q;
    return look(q);
  },
};

/** Asks for the whole story of a URL or path, and where there is none for what it may have meant. */
async function look(q) {
  if (!q) return;
  const at = encodeURIComponent(q);
  try {
    const [story, { targets }] = await Promise.all([
      ask(`why?q=${at}`).catch((error) => (error.status === 400 || error.status === 404 ? error : Promise.reject(error))),
      ask(`search?q=${at}`),
    ]);
    const matches = story.targets?.length > 0 ? [] : targets.filter((target) => target !== q).slice(0, 20);
    const isTold = !(story instanceof Error);
    state.result = { matches, story: isTold ? story : null, problem: isTold || matches.length > 0 ? "" : story.message };
  } catch (error) {
    if (error instanceof Refused) await refused(error);
    state.result = { problem: error.message };
  }
  draw();
}

function act(event, node) {
  const known = doing[node?.dataset.do];
  if (!known) return;
  event.preventDefault();
  known(node);
}

document.addEventListener("click", (event) => act(event, event.target.closest("button[data-do]")));
document.addEventListener("submit", (event) => act(event, event.target.closest("form[data-do]")));
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake());
globalThis.addEventListener("languagechange", draw);
let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width !== width) draw();
  width = contentRect.width;
}).observe($("main"));
// Ages grow, and "today" ends.
setInterval(draw, 10_000);
setInterval(() => followSlowly(false), SLOW / 4);

$("h-now").tabIndex = -1;
draw();
live();
