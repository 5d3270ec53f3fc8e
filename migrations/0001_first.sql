-- Times are microseconds since the Unix epoch, given by the caller; days count from 1970-01-01 UTC+8.

-- store: what belongs to this machine

CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL
) STRICT;

CREATE TABLE origin (
    name TEXT PRIMARY KEY,
    root BLOB NOT NULL,
    device INTEGER NOT NULL,
    baseline_at INTEGER NOT NULL,
    baseline_done INTEGER NOT NULL,
    -- How many files its chunks hold.
    files INTEGER NOT NULL
) STRICT;

CREATE TABLE chunk (
    origin TEXT NOT NULL,
    directory BLOB NOT NULL,
    first BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (origin, directory, first)
) STRICT;

-- Removed files that never change under their name, until they return.
CREATE TABLE removed (
    origin TEXT NOT NULL,
    path BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (origin, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX removed_age ON removed (origin, at);

-- AUTOINCREMENT: a number that was acknowledged never comes again.
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    payload TEXT NOT NULL
) STRICT;

-- What changed in which deploy: a JSON list of [letter, path] for each record. Kept 90 days.
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    deploy TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- How many paths.
    number INTEGER NOT NULL,
    changes TEXT NOT NULL
) STRICT;
CREATE INDEX change_deploy ON change (deploy, sequence, number);
CREATE INDEX change_origin ON change (origin, at);

-- Deploys that somebody holds open.
CREATE TABLE bracket (
    origin TEXT PRIMARY KEY,
    deploy TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    ending INTEGER NOT NULL
) STRICT;

-- What was told of pushes, as it came. Kept 7 days after its end, the newest 10,000; the body of the newest
-- 1,000.
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    -- The sender's id of it, by which a repetition is known.
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    source TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    -- Of the body, which is forgotten before it.
    digest BLOB NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    fate TEXT CHECK (fate IN ('nothing', 'intents', 'failed')),
    why TEXT NOT NULL DEFAULT '',
    ended_at INTEGER,
    CHECK ((fate IS NULL) = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX delivery_key ON delivery (hook, key);
CREATE INDEX delivery_ended ON delivery (ended_at) WHERE ended_at IS NOT NULL;

-- What each push of a delivery comes to for each origin that it concerns.
CREATE TABLE push (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    push TEXT NOT NULL,
    -- From the push, to find one that is told of again; empty for none.
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    -- A person asked for it once more.
    again INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    fate TEXT CHECK (fate IN ('nothing', 'intents', 'failed')),
    why TEXT NOT NULL DEFAULT '',
    deploy TEXT,
    ended_at INTEGER,
    CHECK ((fate IS NULL) = (ended_at IS NULL))
) STRICT;
CREATE INDEX push_open ON push (origin, id) WHERE fate IS NULL;
CREATE INDEX push_delivery ON push (delivery, fate);
CREATE INDEX push_moved ON push (origin, before, after);

-- The last commit of each repository whose changes are recorded; none before the first.
CREATE TABLE tip (
    origin TEXT PRIMARY KEY,
    -- Repository, ref and prefix that it is the tip of.
    place TEXT NOT NULL,
    commit_id TEXT,
    at INTEGER NOT NULL
) STRICT;

-- Deploys that wait until their origin's web servers serve them, and what follows from them then.
CREATE TABLE gate (
    deploy TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    commit_id TEXT,
    -- When it was complete; an open deploy is by this time at the latest.
    ready_at INTEGER NOT NULL
) STRICT;
CREATE INDEX gate_origin ON gate (origin, ready_at);

CREATE TABLE gated (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,
    deploy TEXT NOT NULL,
    -- When it is sent once more; none waits for the gate.
    due_at INTEGER,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX gated_deploy ON gated (deploy, id) WHERE due_at IS NULL;
CREATE INDEX gated_due ON gated (due_at) WHERE due_at IS NOT NULL;

-- What was told of which alarm to which receiver, and what is still to be posted.
CREATE TABLE notice (
    receiver TEXT NOT NULL,
    alarm TEXT NOT NULL,
    -- Whether it was raised and is not over; since when it has not been seen.
    stands INTEGER NOT NULL,
    absent_since INTEGER,
    told_at INTEGER NOT NULL,
    told TEXT NOT NULL,
    -- Since when something waits to be posted: that it ended, or that it was raised.
    queued_at INTEGER,
    is_end INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    PRIMARY KEY (receiver, alarm)
) STRICT, WITHOUT ROWID;

-- journal: what belongs to an account

CREATE TABLE lead (
    account TEXT PRIMARY KEY,
    fence INTEGER NOT NULL
) STRICT;

-- Through which sequence number each node was accepted.
CREATE TABLE accepted (
    node TEXT PRIMARY KEY,
    through INTEGER NOT NULL
) STRICT;

CREATE TABLE deploy (
    id TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT;
CREATE INDEX deploy_closed ON deploy (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX deploy_origin ON deploy (origin, opened_at, id);
CREATE INDEX deploy_opened ON deploy (opened_at, id);

CREATE TABLE intent (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    force INTEGER NOT NULL,
    -- 0 urgent, 1 normal, 2 backfill.
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Which deploy opened it, and whose tree it came from; neither for an operator's wish.
    deploy TEXT,
    origin TEXT,
    -- A person asked for it or let it go: no guard holds it.
    approved INTEGER NOT NULL,
    causes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'submitting', 'submitted', 'ended')),
    not_before INTEGER NOT NULL,
    -- When of its deploy it goes: 0 any time, 1 assets, 2 pages, 3 feeds; and whether those before it
    -- must be complete, not only accepted.
    stage INTEGER NOT NULL DEFAULT 0,
    stage_complete INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    wait TEXT,
    wait_why TEXT,
    wait_until INTEGER,
    -- A refresh of the same url was accepted while this prefetch ran.
    overlapped INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER,
    outcome TEXT,
    outcome_why TEXT,
    superseded_by INTEGER,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL AND outcome IS NOT NULL)),
    CHECK (state = 'pending' OR wait IS NULL)
) STRICT;

-- A change joins the pending, unheld intent of its target, and there is at most one.
CREATE UNIQUE INDEX intent_free ON intent (account, action, kind, target)
    WHERE state = 'pending' AND (wait IS NULL OR wait <> 'hold');
-- By priority: what presses goes ahead of the rest.
CREATE INDEX intent_due ON intent (account, priority, not_before, id)
    WHERE state = 'pending' AND (wait IS NULL OR wait NOT IN ('hold', 'pause'));
CREATE INDEX intent_open ON intent (account, action, kind, target) WHERE state <> 'ended';
CREATE INDEX intent_age ON intent (created_at) WHERE state <> 'ended';
-- Whole in itself for what could go on.
CREATE INDEX intent_lag ON intent (account, kind, created_at, not_before, state, origin)
    WHERE state <> 'ended' AND action = 'refresh' AND wait IS NULL;
CREATE INDEX intent_held ON intent (deploy, id) WHERE wait = 'hold';
CREATE INDEX intent_deploy ON intent (deploy) WHERE state = 'pending';
CREATE INDEX intent_staged ON intent (account, deploy, stage_complete)
    WHERE state = 'pending' AND action = 'refresh' AND stage > 0 AND (wait IS NULL OR wait = 'stage');
CREATE INDEX intent_target ON intent (target);
CREATE INDEX intent_attention ON intent (id)
    WHERE (wait IS NOT NULL AND (wait <> 'hold' OR deploy IS NULL)) OR outcome = 'failed';
-- Whole in itself for how long refreshes took.
CREATE INDEX intent_ended ON intent (ended_at, id, created_at, action, outcome)
    WHERE state = 'ended';
-- In the order of a list: what is open, and what ended otherwise than most does.
CREATE INDEX intent_listed ON intent (id) WHERE state <> 'ended';
CREATE INDEX intent_outcome ON intent (outcome, id) WHERE outcome <> 'done';

-- What an operator paused: an origin, or with '' the whole account. Pausing marks no intent, so that
-- resuming has none to mend.
CREATE TABLE pause (
    account TEXT NOT NULL,
    origin TEXT NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL,
    PRIMARY KEY (account, origin)
) STRICT, WITHOUT ROWID;

-- The newest causes of an intent; the newest has ordinal = intent.causes.
CREATE TABLE cause (
    intent INTEGER NOT NULL REFERENCES intent (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (intent, ordinal)
) STRICT, WITHOUT ROWID;

-- Which intents a deploy caused, be it as one of several; and what stands for those superseded.
CREATE TABLE deploy_intent (
    deploy TEXT NOT NULL,
    intent INTEGER NOT NULL REFERENCES intent (id) ON DELETE CASCADE,
    PRIMARY KEY (deploy, intent)
) STRICT, WITHOUT ROWID;
CREATE INDEX deploy_intent_intent ON deploy_intent (intent);

CREATE TABLE batch (
    key TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    force INTEGER NOT NULL,
    quota TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('staged', 'unknown', 'accepted', 'refused')),
    fence INTEGER NOT NULL,
    staged_at INTEGER NOT NULL,
    sends INTEGER NOT NULL DEFAULT 1,
    negatives INTEGER NOT NULL DEFAULT 0,
    last_negative INTEGER,
    look_at INTEGER,
    settled_at INTEGER,
    request_id TEXT,
    why TEXT
) STRICT;
CREATE INDEX batch_live ON batch (account, look_at) WHERE state IN ('staged', 'unknown');
CREATE INDEX batch_staged ON batch (account, staged_at);
CREATE INDEX batch_settled ON batch (account, settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE ask (
    batch TEXT NOT NULL REFERENCES batch (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'ended')),
    status TEXT,
    -- Whose share it is paid from, empty for nobody's, and at which priority.
    origin TEXT NOT NULL,
    priority INTEGER NOT NULL,
    PRIMARY KEY (batch, ordinal)
) STRICT;

CREATE TABLE ask_intent (
    batch TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    intent INTEGER NOT NULL REFERENCES intent (id) ON DELETE CASCADE,
    PRIMARY KEY (batch, ordinal, intent),
    FOREIGN KEY (batch, ordinal) REFERENCES ask (batch, ordinal) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX ask_intent_intent ON ask_intent (intent);

-- A batch the CDN accepted, whole or in the parts that were found.
CREATE TABLE job (
    batch TEXT PRIMARY KEY REFERENCES batch (key) ON DELETE CASCADE,
    account TEXT NOT NULL,
    tasks TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    polls INTEGER NOT NULL DEFAULT 0,
    next_poll INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX job_due ON job (account, next_poll) WHERE ended_at IS NULL;

-- What each sending of a batch was charged, by day: in the hour of the day, and for whom.
CREATE TABLE debit (
    batch TEXT NOT NULL REFERENCES batch (key) ON DELETE CASCADE,
    day INTEGER NOT NULL,
    host TEXT NOT NULL,
    origin TEXT NOT NULL,
    priority INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    send INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (batch, day, host, origin, priority)
) STRICT, WITHOUT ROWID;

-- The debits' sums by hour of the day, kept when the batches are gone: shares and forecasts.
CREATE TABLE spending (
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    quota TEXT NOT NULL,
    origin TEXT NOT NULL,
    priority INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (account, day, hour, quota, origin, priority)
) STRICT, WITHOUT ROWID;

-- Which alarms were told on which day.
CREATE TABLE alarm (
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    quota TEXT NOT NULL,
    percent INTEGER NOT NULL,
    PRIMARY KEY (account, day, quota, percent)
) STRICT, WITHOUT ROWID;

-- used = corrected + the day's debits.
CREATE TABLE ledger (
    account TEXT NOT NULL,
    day INTEGER NOT NULL,
    quota TEXT NOT NULL,
    used INTEGER NOT NULL,
    corrected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, day, quota)
) STRICT, WITHOUT ROWID;

-- What the CDN last said a day allows.
CREATE TABLE allowance (
    account TEXT NOT NULL,
    quota TEXT NOT NULL,
    day_limit INTEGER NOT NULL,
    PRIMARY KEY (account, quota)
) STRICT, WITHOUT ROWID;

-- How many intents ended how on which day, kept when they are gone; and what else is counted,
-- under an outcome that starts with a dot.
CREATE TABLE tally (
    day INTEGER NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (day, account, action, outcome)
) STRICT, WITHOUT ROWID;
