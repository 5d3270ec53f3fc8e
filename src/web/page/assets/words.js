// The page's words in English and Chinese, and how numbers and times are said.

const WORDS = {
  skip: ["Skip to the state", "跳到当前状态"],
  other: ["中文", "English"],
  sign_in: ["Sign in", "登录"],
  sign_out: ["Sign out", "退出"],
  close: ["Close", "关闭"],
  cancel: ["Cancel", "取消"],
  token_why: ["Whoever changes something shows a token: the content of a file that token_files in [web] names. It is kept until this tab closes.", "修改操作需要令牌，即 [web] 中 token_files 所列文件的内容。令牌只保存到此标签页关闭为止。"],
  token_label: ["Token", "令牌"],
  token_wrong: ["This token is not accepted. One that was written just now holds within ten seconds.", "此令牌无效。刚写入的令牌会在十秒内生效。"],
  token_gone: ["Your token is not accepted any more. Please sign in again.", "您的令牌已失效，请重新登录。"],
  signed_in: ["Signed in", "已登录"],
  signed_out: ["Signed out", "已退出"],
  live: ["Live", "实时"],
  polling: ["Asked every 5 s", "每 5 秒查询"],
  connecting: ["Connecting…", "正在连接…"],
  lost: ["Connection lost.", "连接已断开。"],
  lost_since: ["What you see is from {at}.", "以下为 {at} 的状态。"],
  again: ["Try now", "立即重试"],
  found_again: ["Connected again", "已重新连接"],
  busy: ["The daemon answers, but not with its state: {why}", "守护进程有响应，但无法给出状态：{why}"],
  alarms: ["Alarms", "告警"],
  held: ["Held for a person", "等待人工决定"],
  search: ["Why is a page still old?", "为什么页面还是旧的？"],
  search_label: ["A URL, or the path of a file", "网址或文件路径"],
  look: ["Look", "查询"],
  way: ["On its way", "进行中"],
  deploys: ["Deploys", "发布"],
  quota: ["Quota of the day", "当日配额"],
  origins: ["Origins", "源站"],
  asking: ["Asking the daemon…", "正在询问守护进程…"],
  fresh: ["The edge is fresh", "边缘内容是最新的"],
  fresh_sub: ["Every change that was seen has been refreshed.", "所有已发现的变更都已刷新。"],
  busy_now: ["{n} refresh on its way|{n} refreshes on their way", "{n} 项刷新进行中"],
  oldest: ["The oldest change is {age} old.", "最早的变更已有 {age}。"],
  wait_person: ["{n} refresh waits for a person|{n} refreshes wait for a person", "{n} 项刷新等待人工决定"],
  wait_quota: ["{n} waits for the next day’s quota|{n} wait for the next day’s quota", "{n} 项等待次日配额"],
  paused_now: ["Submission is paused", "提交已暂停"],
  not_ready: ["The files are being looked at for the first time", "正在首次查看文件"],
  unavailable: ["An origin is unavailable: {names}", "源站不可用：{names}"],
  seen: ["Seen", "已发现"],
  waiting: ["Waiting", "等待"],
  submitting: ["Asking", "提交中"],
  submitted: ["At the CDN", "CDN 处理中"],
  pending: ["Waiting", "等待"],
  done: ["Done", "完成"],
  failed: ["Failed", "失败"],
  superseded: ["Superseded", "已替代"],
  rejected: ["Rejected", "已拒绝"],
  cancelled: ["Cancelled", "已取消"],
  lag: ["From change to fresh edge, last 24 hours", "从变更到边缘更新，最近 24 小时"],
  lag_alt: ["Time from a change to the end of its refresh over the last 24 hours: typically {median}, at worst {worst}; in the last hour {hour}.", "最近 24 小时从变更到刷新完成的时间：通常 {median}，最长 {worst}；最近一小时 {hour}。"],
  lag_none: ["Nothing was refreshed in the last 24 hours.", "最近 24 小时没有刷新。"],
  lag_typical: ["typically", "通常"],
  lag_worst: ["at worst", "最长"],
  lag_hour: ["last hour", "最近一小时"],
  none_yet: ["nothing", "无"],
  severity_error: ["Error", "错误"],
  severity_warning: ["Warning", "警告"],
  since: ["since {at}", "自 {at}"],
  remedy: ["What helps:", "处理方法："],
  approve: ["Approve", "批准"],
  reject: ["Reject", "拒绝"],
  held_set: ["{n} refresh of {origin}|{n} refreshes of {origin}", "{origin} 的 {n} 项刷新"],
  held_any: ["{n} refresh|{n} refreshes", "{n} 项刷新"],
  sample: ["Some of the targets", "部分目标"],
  sure_approve: ["Approve {what}?", "批准{what}？"],
  sure_reject: ["Reject {what}?", "拒绝{what}？"],
  why_approve: ["They are asked of the CDN at once, and cost the day’s quota.", "将立即提交给 CDN，并消耗当日配额。"],
  why_reject: ["They end here: the edge keeps what it has until these files change again.", "到此为止：在这些文件再次变更之前，边缘保留现有内容。"],
  approved: ["Approved: {n}", "已批准：{n}"],
  rejected_n: ["Rejected: {n}", "已拒绝：{n}"],
  not_done: ["That did not work: {why}", "操作失败：{why}"],
  nothing_open: ["Nothing is on its way.", "没有进行中的刷新。"],
  stands: ["Where", "状态"],
  how_many: ["How many", "数量"],
  reason: ["Why", "原因"],
  until: ["Until", "直到"],
  such_as: ["such as", "例如"],
  latest: ["Latest", "最近"],
  target: ["Target", "目标"],
  changed: ["Seen", "发现"],
  took: ["Took", "用时"],
  prefetch: ["Prefetch", "预热"],
  paused_of: ["{of} is paused since {at} by {by}; {n} wait.", "{of} 自 {at} 由 {by} 暂停；{n} 项等待中。"],
  resume: ["Resume", "恢复"],
  resumed: ["Resumed", "已恢复"],
  no_deploys: ["No deploy yet. The first change of a file makes one.", "尚无发布。文件首次变更后会出现。"],
  more: ["Show more", "显示更多"],
  opened: ["Opened", "开始"],
  closed: ["Closed", "关闭"],
  still_open: ["still open", "仍在进行"],
  first_accepted: ["First accepted by the CDN", "CDN 首次接受"],
  last_accepted: ["Last accepted by the CDN", "CDN 末次接受"],
  last_ended: ["Last ended", "末次结束"],
  calls: ["Asked of the CDN", "提交给 CDN"],
  asks_of: ["{n} × {kind}", "{n} × {kind}"],
  urls: ["URLs and jobs", "网址与任务"],
  changes: ["Changed files", "变更的文件"],
  of_changes: ["{n} of {all}", "共 {all}，显示 {n}"],
  job: ["Job", "任务"],
  loading: ["Loading…", "加载中…"],
  kind_url: ["URLs", "URL"],
  kind_directory: ["Directories", "目录"],
  kind_regex: ["Expressions", "正则"],
  kind_ignore_params: ["Ignoring parameters", "忽略参数"],
  kind_tag: ["Cache tags", "缓存标签"],
  kind_prefetch: ["Prefetches", "预热"],
  left_of: ["{left} of {limit} left", "剩余 {left} / {limit}"],
  forecast_lasts: ["lasts; about {n} more expected", "够用；预计再用约 {n}"],
  forecast_out: ["likely spent at {at} (UTC+8)", "预计 {at}（UTC+8）用完"],
  forecast_none: ["no forecast before the second day", "第二天起才有预测"],
  foreign: ["{n} by others", "他人使用 {n}"],
  reserve: ["{n} kept for urgent work", "{n} 留作紧急"],
  turns: ["The day turns at 00:00 UTC+8, in {age}.", "配额于 UTC+8 00:00 重置，还有 {age}。"],
  untouched: ["Untouched today", "今日未使用"],
  account: ["Account {name}", "账号 {name}"],
  state_baseline: ["First look", "首次查看"],
  state_watching: ["Watching", "监视中"],
  state_polling: ["Polling", "轮询中"],
  state_unavailable: ["Unavailable", "不可用"],
  files: ["{n} file|{n} files", "{n} 个文件"],
  means: ["by {watch}", "方式：{watch}"],
  known_since: ["changes known since {at}", "自 {at} 起了解变更"],
  comparing: ["comparing: {n} files so far", "比较中：已看 {n} 个文件"],
  dirty: ["{n} path settling|{n} paths settling", "{n} 个路径等待稳定"],
  undigested: ["{n} file not read yet|{n} files not read yet", "{n} 个文件尚未读取"],
  polled: ["Polled, not watched:", "轮询而非监视："],
  unmapped: ["Changed, but without a URL:", "已变更但没有网址："],
  at_gate: ["{n} wait at the gate since {at}: {why}", "{n} 项自 {at} 起等待源站就绪：{why}"],
  held_open: ["held open until {at}", "保持打开至 {at}"],
  matches: ["Did you mean one of these?", "您要找的是其中之一吗？"],
  story: ["The story of {q}", "{q} 的经过"],
  mapping: ["What the rules say", "规则说明"],
  step_seen: ["seen", "发现"],
  step_created: ["recorded", "记录"],
  step_staged: ["asked", "提交"],
  step_accepted: ["accepted by the CDN", "CDN 接受"],
  step_refused: ["refused by the CDN", "CDN 拒绝"],
  step_job: ["job ended", "任务结束"],
  step_ended: ["ended", "结束"],
  footer: ["refreshd {version}, process {pid}. Times are yours; the quota’s are UTC+8.", "refreshd {version}，进程 {pid}。时间为本地时区，配额时间为 UTC+8。"],
  wait_quota_s: ["Next day’s quota", "等待次日配额"],
  wait_hold_s: ["A person", "等待人工"],
  wait_gate_s: ["Web servers", "等待源站就绪"],
  wait_inner_s: ["Inner cache", "等待内层缓存"],
  wait_refresh_s: ["Its refresh", "等待刷新"],
  wait_pause_s: ["Paused", "已暂停"],
  wait_stage_s: ["Its turn", "等待轮到"],
  wait_retry_s: ["Tried again later", "稍后重试"],
};

const LANGUAGE = "refreshd-language";
const ENGLISH = "en";
const CHINESE = "zh";

function preferred() {
  const chosen = localStorage.getItem(LANGUAGE);
  if (chosen) return chosen;
  const known = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return known.find((tag) => tag === ENGLISH || tag === CHINESE) ?? ENGLISH;
}

let language = preferred();

export const tag = () => (language === CHINESE ? "zh-CN" : "en");

/** Changes to the other language, for good. */
export function toggle() {
  language = language === CHINESE ? ENGLISH : CHINESE;
  localStorage.setItem(LANGUAGE, language);
}

/** Says a word; of "one|many" what fits `n`. */
export function t(key, values = {}) {
  const [one, many] = (WORDS[key]?.[language === CHINESE ? 1 : 0] ?? key).split("|");
  const text = many !== undefined && values.n !== 1 ? many : one;
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name]) : String(values[name] ?? ""));
}

/** Whether there is such a word. */
export const knows = (key) => key in WORDS;

/** Says a number. */
export const number = (value) => new Intl.NumberFormat(tag()).format(value);

/** Reads a time: microseconds since 1970 (status), or RFC 3339 text. */
export function instant(value) {
  if (value === null || value === undefined) return null;
  return typeof value === "number" ? new Date(value / 1000) : new Date(value);
}

/** Says how long: the two largest units. */
export function span(seconds) {
  const units = language === CHINESE ? [" 天", " 小时", " 分", " 秒"] : [" d", " h", " min", " s"];
  const whole = Math.max(0, seconds);
  if (whole < 10) return `${whole < 1 && whole > 0 ? "<1" : Math.round(whole)}${units[3]}`;
  const rounded = Math.round(whole);
  const parts = [Math.floor(rounded / 86_400), Math.floor(rounded / 3_600) % 24, Math.floor(rounded / 60) % 60, rounded % 60];
  const first = parts.findIndex((part) => part > 0);
  return parts.map((part, at) => (at >= first && at < first + 2 && part > 0 ? `${part}${units[at]}` : ""))
    .filter(Boolean).join(" ");
}

/** Says when, to the second today, else with the date; `zone` is the viewer's own when left out. */
export function when(date, zone) {
  const format = (options) => new Intl.DateTimeFormat(tag(), { timeZone: zone, ...options }).format(date);
  const day = { year: "numeric", month: "numeric", day: "numeric" };
  const now = new Intl.DateTimeFormat(tag(), { timeZone: zone, ...day }).format(new Date());
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return format(day) === now ? format(time) : format({ month: "short", day: "numeric", ...time });
}

/** Says the hour and minute. */
export const clock = (date, zone) => new Intl.DateTimeFormat(tag(), {
  timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23",
}).format(date);
