// What the daemon is asked, and how its events are heard. The token stays in this tab.

const TOKEN = "refreshd-token";
/** How long one answer may take, in milliseconds. */
const PATIENCE = 15_000;
/** A stream tells of itself each 15 s; one that is silent for longer is dead. */
const SILENCE = 40_000;

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN)),
};

/** What the daemon answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, problems) {
    super(problems.join("\n"));
    this.status = status;
  }
}

function headers(shown) {
  return shown ? { Authorization: `Bearer ${shown}` } : {};
}

async function refused(response) {
  const told = await response.json().catch(() => null);
  return new Refused(response.status, told?.problems ?? [`${response.status} ${response.statusText}`]);
}

/** Asks for something; throws Refused, or another error when nobody answers. */
export async function ask(path, { body, shown = token.get() } = {}) {
  const response = await fetch(`api/v1/${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { ...headers(shown), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE),
    cache: "no-store",
  });
  if (!response.ok) throw await refused(response);
  return response.json();
}

/** Hears events until the stream ends; `heard` gets each status, `troubled` why there is none. Returns false where
    there are no events. */
export async function hear(heard, troubled, stop) {
  const end = new AbortController();
  const over = () => end.abort();
  stop.addEventListener("abort", over);
  let alarm = setTimeout(over, PATIENCE);
  try {
    const response = await fetch("api/v1/events", {
      headers: { ...headers(token.get()), Accept: "text/event-stream" },
      signal: end.signal,
      cache: "no-store",
    });
    if (response.status === 404) return false;
    if (!response.ok) throw await refused(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      clearTimeout(alarm);
      alarm = setTimeout(over, SILENCE);
      const { done, value } = await reader.read();
      if (done) return true;
      text += value.replaceAll("\r", "");
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const lines = event.split("\n");
        const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
        if (data.length === 0) continue;
        const told = JSON.parse(data.join("\n"));
        if (lines.includes("event: status")) heard(told);
        if (lines.includes("event: problem")) troubled(told.problems.join("\n"));
      }
    }
  } finally {
    clearTimeout(alarm);
    stop.removeEventListener("abort", over);
  }
}
