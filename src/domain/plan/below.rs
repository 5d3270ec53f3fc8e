//! Which texts begin with which others: one sort and one sweep.

/// A text that may begin with, or be the beginning of, another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) text: &'a str,
    /// Whether it reaches all that begins with it.
    pub(super) wide: bool,
    /// Whether it drops copies; as the narrow one, whether they must be dropped.
    pub(super) force: bool,
    /// Whether another may stand for it.
    pub(super) can_be_carried: bool,
    /// The caller's number of it.
    pub(super) place: usize,
}

/// Returns pairs (narrow, wide) of places: for each item that can be carried, the widest item that
/// reaches it with enough force. A wide item in a pair is never the narrow item of another.
pub(super) fn by_prefix(mut items: Vec<Item<'_>>) -> Vec<(usize, usize)> {
    // Sorted, all that begins with a text follows it; of equal texts the wide one comes first.
    items.sort_unstable_by_key(|item| (item.text, !item.wide, item.place));
    let mut pairs = Vec::new();
    // The wide items that the current text begins with: at most a soft one, and a forced one in it.
    let mut open: Vec<Item<'_>> = Vec::with_capacity(2);
    for item in items {
        while open.last().is_some_and(|wide| !item.text.starts_with(wide.text)) {
            open.pop();
        }
        let cover = open.iter().find(|wide| wide.force || !item.force);
        if let Some(wide) = cover {
            if item.can_be_carried {
                pairs.push((item.place, wide.place));
            }
        } else if item.wide {
            open.push(item);
        }
    }
    pairs
}
