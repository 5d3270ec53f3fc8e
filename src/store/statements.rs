//! The store's statements, each named in its first line.

pub(super) const DRAW_NODE: &str = "-- store.draw_node
INSERT INTO node (one, id) VALUES (1, ?1) ON CONFLICT DO NOTHING";

pub(super) const NODE: &str = "-- store.node
SELECT id FROM node";

pub(super) const TRY_TO_WRITE: &str = "-- store.try_to_write
UPDATE node SET id = id";

pub(super) const ORIGIN: &str = "-- store.origin
SELECT root, device, baseline_at, baseline_done, files FROM origin WHERE name = ?1";

pub(super) const WRITE_ORIGIN: &str = "-- store.write_origin
INSERT OR REPLACE INTO origin (name, root, device, baseline_at, baseline_done, files)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const CHUNKS: &str = "-- store.chunks
SELECT directory, first, data FROM chunk WHERE origin = ?1 ORDER BY directory, first";

pub(super) const CHUNK: &str = "-- store.chunk
SELECT directory, first, data FROM chunk WHERE origin = ?1 AND directory = ?2 AND first <= ?3
ORDER BY first DESC LIMIT 1";

pub(super) const FORGET: &str = "-- store.forget
DELETE FROM chunk WHERE origin = ?1";

pub(super) const WRITE_CHUNK: &str = "-- store.write_chunk
INSERT INTO chunk (origin, directory, first, data) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET data = excluded.data";

pub(super) const DELETE_CHUNK: &str = "-- store.delete_chunk
DELETE FROM chunk WHERE origin = ?1 AND directory = ?2 AND first = ?3";

pub(super) const SEND_OUT: &str = "-- store.send_out
INSERT INTO outbox (payload) VALUES (?1)";

pub(super) const LAST_SEQUENCE: &str = "-- store.last_sequence
SELECT seq FROM sqlite_sequence WHERE name = 'outbox'";

pub(super) const OUTBOX: &str = "-- store.outbox
SELECT sequence, payload FROM outbox ORDER BY sequence LIMIT ?1";

pub(super) const ACKNOWLEDGE: &str = "-- store.acknowledge
DELETE FROM outbox WHERE sequence <= ?1";

pub(super) const OUTBOX_LEN: &str = "-- store.outbox_len
SELECT count(*) FROM outbox";

pub(super) const SEEN_REMOVED: &str = "-- store.seen_removed
SELECT 1 FROM removed WHERE origin = ?1 AND path = ?2";

pub(super) const REMOVED: &str = "-- store.removed
INSERT INTO removed (origin, path, at) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET at = excluded.at";

pub(super) const RETURNED: &str = "-- store.returned
DELETE FROM removed WHERE origin = ?1 AND path = ?2";

pub(super) const FORGET_REMOVED: &str = "-- store.forget_removed
DELETE FROM removed WHERE origin = ?1 AND at < ?2";

pub(super) const BOUND_REMOVED: &str = "-- store.bound_removed
DELETE FROM removed WHERE origin = ?1 AND at < (
    SELECT at FROM removed WHERE origin = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2 - 1)";

pub(super) const WRITE_CHANGES: &str = "-- store.write_changes
INSERT INTO change (origin, deploy, at, number, changes) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const CHANGES: &str = "-- store.changes
SELECT sequence, changes FROM change WHERE deploy = ?1 AND sequence >= ?2 ORDER BY sequence";

pub(super) const CHANGED: &str = "-- store.changed
SELECT coalesce(sum(number), 0) FROM change WHERE deploy = ?1";

pub(super) const DEPLOYS: &str = "-- store.deploys
SELECT DISTINCT deploy FROM change WHERE origin = ?1 AND at >= ?2 AND deploy > ?3
ORDER BY deploy LIMIT ?4";

pub(super) const PRUNE_CHANGES: &str = "-- store.prune_changes
DELETE FROM change WHERE origin = ?1 AND at < ?2 AND deploy NOT IN (SELECT deploy FROM gate)";

pub(super) const BRACKET: &str = "-- store.bracket
SELECT deploy, began_at, ending FROM bracket WHERE origin = ?1";

pub(super) const BEGIN_BRACKET: &str = "-- store.begin_bracket
INSERT INTO bracket (origin, deploy, began_at, ending) VALUES (?1, ?2, ?3, 0)
ON CONFLICT DO NOTHING";

pub(super) const ASK_FOR_END: &str = "-- store.ask_for_end
UPDATE bracket SET ending = 1 WHERE origin = ?1";

pub(super) const END_BRACKET: &str = "-- store.end_bracket
DELETE FROM bracket WHERE origin = ?1";
