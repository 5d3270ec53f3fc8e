//! What is written down of deliveries, read beside the daemon.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags};

use crate::world::World;

/// A delivery as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub id: i64,
    pub source: String,
    pub why: String,
    pub repeats: i64,
    /// Whether it has come to its end, or what it tells is still to be looked at.
    pub is_open: bool,
    pub has_fate: bool,
    /// To which origins, each with a ref.
    pub pushes: Vec<String>,
}

/// Returns every delivery by its sender's id.
pub(crate) fn rows(world: &World) -> BTreeMap<String, Row> {
    let database = world.path("state/refreshd.db");
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the database is there");
    let sql = "SELECT key, id, source, why, repeats, fate IS NOT NULL,
        EXISTS (SELECT 1 FROM push WHERE delivery = delivery.id AND push.fate IS NULL),
        (SELECT group_concat(origin || ' ' || json_extract(push, '$.reference'), ',') FROM push
         WHERE delivery = delivery.id) FROM delivery";
    let mut statement = connection.prepare(sql).expect("the tables are there");
    let read = |row: &rusqlite::Row<'_>| {
        let pushes: Option<String> = row.get(7)?;
        let pushes = pushes.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
        let delivery = Row {
            id: row.get(1)?,
            source: row.get(2)?,
            why: row.get(3)?,
            repeats: row.get(4)?,
            has_fate: row.get(5)?,
            is_open: row.get(6)?,
            pushes,
        };
        Ok((row.get(0)?, delivery))
    };
    let rows = statement.query_map([], read).expect("it is read");
    rows.collect::<Result<_, _>>().expect("each row")
}
