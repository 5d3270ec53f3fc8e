//! This room keeps what belongs to this machine: the index, the outbox and origin states.
//!
//! Enters: what intake found, recorded in one transaction. Leaves: the index at start, and the
//! outbox in sequence for the journal to accept.
//! **Invariant:** an index delta and the wishes it causes are committed together or not at all.
