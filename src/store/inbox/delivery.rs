//! What the inbox holds: deliveries, their pushes, how these end, and the last commit that is done.

use serde::{Deserialize, Serialize};

use crate::domain::deploy::DeployId;
use crate::domain::names::{HookName, OriginName};
use crate::domain::push::{CommitId, Fate, Push};
use crate::domain::time::Timestamp;

/// The store's number of a delivery: what its sender and the operator are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

/// The store's number of a push for one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PushId(pub i64);

/// A delivery that was proved to be its sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Through which hook it came.
    pub hook: HookName,
    /// The sender's id of it: with the same it is the same.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// What it is about, in the sender's word.
    pub event: String,
    /// From where.
    pub source: String,
    /// How the body is written.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// What is to be looked at, for whom.
    pub pushes: Vec<(OriginName, Push)>,
    /// Why there are none, if there are none.
    pub why: String,
}

/// What became of a delivery at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub id: DeliveryId,
    /// Whether it had come before: then nothing changed.
    pub repeated: bool,
}

/// A push that is to be looked at for an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPush {
    /// Its number.
    pub id: PushId,
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// When that came.
    pub at: Timestamp,
    /// What was told.
    pub push: Push,
    /// Whether a person asked for it once more.
    pub again: bool,
    /// How often it was tried in vain.
    pub attempts: u32,
}

/// How a push ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub fate: Fate,
    /// Why, in one sentence.
    pub why: String,
    /// The deploy that holds what changed.
    pub deploy: Option<DeployId>,
}

/// The last commit of an origin that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Of which repository, ref and prefix.
    pub place: String,
    /// The commit; none where the ref never was.
    pub commit: Option<CommitId>,
}

/// What a record is the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEnd {
    /// The pushes that end with it, each with how.
    pub ends: Vec<(PushId, End)>,
    /// The commit that is done now; none leaves it.
    pub tip: Option<Tip>,
}

/// A delivery as an operator is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// Its number.
    pub id: DeliveryId,
    /// Through which hook it came.
    pub hook: HookName,
    /// The sender's id.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub event: String,
    /// From where.
    pub source: String,
    /// How long its body is, in bytes.
    pub bytes: u64,
    /// How often it came again.
    pub repeats: u64,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why.
    pub why: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it tells, for whom, and what became of that.
    pub pushes: Vec<PushRow>,
}

/// A push as an operator is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushRow {
    /// For which origin.
    pub origin: OriginName,
    /// What was told.
    pub push: Push,
    /// Whether a person asked for it once more.
    pub again: bool,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// When it is tried again.
    pub not_before: Timestamp,
    /// How it ended; none while it is open.
    pub fate: Option<Fate>,
    /// Why, or why it is still open.
    pub why: String,
    /// The deploy that holds what changed.
    pub deploy: Option<DeployId>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
