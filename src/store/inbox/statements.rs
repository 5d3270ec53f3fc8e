//! The statements of the inbox.

pub(super) const RECEIVE: &str = "-- store.receive
INSERT INTO delivery
(hook, key, at, event, source, content_type, body, digest, fate, why, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";

pub(super) const EMPTY: &str = "-- store.empty_delivery
UPDATE delivery SET body = x'' WHERE id = ?1 AND ended_at IS NOT NULL";

pub(super) const FORGET: &str = "-- store.forget_delivery
DELETE FROM delivery WHERE id = ?1 AND ended_at IS NOT NULL";

pub(super) const REPEATED: &str = "-- store.repeated
UPDATE delivery SET repeats = repeats + 1 WHERE hook = ?1 AND key = ?2 RETURNING id";

pub(super) const PUSHED: &str = "-- store.pushed
INSERT INTO push (delivery, origin, push, before, after, not_before, again)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const OPEN: &str = "-- store.open_pushes
SELECT push.id, delivery, delivery.at, push, again, attempts FROM push
JOIN delivery ON delivery.id = delivery
WHERE origin = ?1 AND push.fate IS NULL AND not_before <= ?2 ORDER BY push.id LIMIT ?3";

pub(super) const NEXT: &str = "-- store.next_push
SELECT count(*), min(not_before) FROM push WHERE origin = ?1 AND fate IS NULL";

pub(super) const LATER: &str = "-- store.push_later
UPDATE push SET not_before = ?2, attempts = attempts + 1, why = ?3 WHERE id = ?1";

pub(super) const END: &str = "-- store.end_push
UPDATE push SET fate = ?2, why = ?3, deploy = ?4, ended_at = ?5 WHERE id = ?1 AND fate IS NULL
RETURNING delivery";

pub(super) const ENDED: &str = "-- store.end_delivery
WITH last AS (SELECT id, fate, why FROM push
              WHERE id IN (SELECT max(id) FROM push WHERE delivery = ?1 GROUP BY origin, push))
UPDATE delivery SET ended_at = ?2,
fate = (SELECT CASE WHEN sum(fate = 'failed') > 0 THEN 'failed'
        WHEN sum(fate = 'intents') > 0 THEN 'intents' ELSE 'nothing' END FROM last),
why = (SELECT why FROM last ORDER BY fate = 'failed' DESC, fate = 'intents' DESC, id LIMIT 1)
WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM push WHERE delivery = ?1 AND fate IS NULL)";

// Who tells of the same move in other words tells of another push: a branch may go there twice.
pub(super) const WAS_PUSHED: &str = "-- store.was_pushed
WITH mine AS (
    SELECT push.*, hook, digest FROM push JOIN delivery ON delivery.id = delivery WHERE push.id = ?1
), same AS (
    SELECT delivery.hook, delivery.digest FROM mine
    JOIN push USING (origin, before, after) JOIN delivery ON delivery.id = push.delivery
    WHERE push.fate IN ('nothing', 'intents')
    AND push.push ->> 'reference' = mine.push ->> 'reference'
)
SELECT 1 FROM mine JOIN same GROUP BY same.hook
HAVING max(same.hook = mine.hook AND same.digest = mine.digest)
OR same.hook <> mine.hook AND count(DISTINCT same.digest)
    > (SELECT count(DISTINCT digest) FROM same WHERE hook = mine.hook)";

pub(super) const UNOWNED: &str = "-- store.unowned_pushes
SELECT id, origin FROM push WHERE fate IS NULL";

pub(super) const TIP: &str = "-- store.tip
SELECT place, commit_id FROM tip WHERE origin = ?1";

pub(super) const SET_TIP: &str = "-- store.set_tip
INSERT OR REPLACE INTO tip (origin, place, commit_id, at) VALUES (?1, ?2, ?3, ?4)";

pub(super) const DELIVERIES: &str = "-- store.deliveries
SELECT id, hook, key, at, event, source, length(body), repeats, fate, why, ended_at FROM delivery
WHERE (?1 IS NULL OR id = ?1) AND (NOT ?2 OR fate IS NULL OR fate = 'failed')
ORDER BY id DESC LIMIT ?3";

pub(super) const PUSHES: &str = "-- store.pushes
SELECT origin, push, again, attempts, not_before, fate, why, deploy, ended_at FROM push
WHERE delivery = ?1 ORDER BY id";

pub(super) const BODY: &str = "-- store.body
SELECT content_type, body FROM delivery WHERE id = ?1";

pub(super) const REPLAY: &str = "-- store.replay
INSERT INTO push (delivery, origin, push, before, after, not_before, again)
SELECT delivery, origin, push, before, after, ?2, 1 FROM push
WHERE id IN (SELECT max(id) FROM push WHERE delivery = ?1 GROUP BY origin, push)
AND fate IS NOT NULL";

pub(super) const REOPEN: &str = "-- store.reopen
UPDATE delivery SET fate = NULL, ended_at = NULL, why = '' WHERE id = ?1";

pub(super) const COUNT_OPEN: &str = "-- store.count_open_deliveries
SELECT count(*) FILTER (WHERE fate IS NULL), count(*) FILTER (WHERE fate = 'failed') FROM delivery";

pub(super) const PRUNE: &str = "-- store.prune_deliveries
DELETE FROM delivery WHERE ended_at < ?1";
