//! The gate of an origin: deploys go to the journal once the origin's web servers serve them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::EngineError;
use super::step::Step;
use crate::clock::SharedClock;
use crate::config::{Origin, Tree};
use crate::domain::deploy::DeployId;
use crate::domain::facts::{Facts, GateFacts};
use crate::domain::gate::{Gate, Opens, alarm_at, pause};
use crate::domain::mapping::Mapping;
use crate::domain::names::OriginName;
use crate::domain::path::RelPath;
use crate::domain::time::Timestamp;
use crate::probe::server::{Server, ServerError};
use crate::store::{GatedDeploy, Store, StoreError};

mod content;
mod files;
mod look;
mod unreached;

use content::Content;
use unreached::Reached;

/// Between two runs of a command, and between two looks at the web servers: the first and the longest pause.
const COMMAND_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
const LOOK_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// What a gate needs to know of its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose gate it is.
    pub origin: OriginName,
    /// The gate.
    pub gate: Gate,
    /// Under which URLs its files are served.
    pub mapping: Arc<Mapping>,
    /// What holds its files.
    pub tree: Tree,
    /// The directory of a repository that is served.
    pub prefix: RelPath,
    /// Which links of a tree on disk are followed.
    pub links: crate::domain::watch::Links,
}

impl Settings {
    /// Takes what the configuration says of an origin; none of one without a gate.
    #[must_use]
    pub fn of(origin: &Origin) -> Option<Self> {
        origin.gate.is_there().then(|| Self {
            origin: origin.name.clone(),
            gate: origin.gate.clone(),
            mapping: Arc::new(origin.mapping.clone()),
            tree: origin.tree.clone(),
            prefix: origin.prefix.clone(),
            links: origin.links,
        })
    }
}

/// What a look at the origin came to.
#[derive(Debug, Default)]
struct Look {
    /// For which of the waiting deploys the gate opens.
    opens: Vec<GatedDeploy>,
    /// Why it stays closed for the others.
    why: String,
    /// What a command wrote.
    output: String,
    /// When to look again, where that is known.
    until: Option<Timestamp>,
}

/// The gate of one origin.
pub struct Gates {
    settings: Settings,
    store: Store,
    clock: SharedClock,
    /// Wakes the forwarder.
    recorded: Arc<Notify>,
    facts: watch::Sender<Facts>,
    servers: Vec<Server>,
    content: Content,
    reached: Reached,
    /// What waited at the last look: each deploy, and the newest thing it held.
    waited: Vec<(DeployId, i64)>,
    last_pause: Option<Duration>,
    next: Timestamp,
    why: String,
    output: String,
    /// When a person was last told of which deploy.
    told: BTreeMap<DeployId, Timestamp>,
}

impl Gates {
    /// Makes the gate of an origin; it does nothing until it is stepped. `recorded` is notified whenever
    /// something new is in the store's outbox.
    pub fn new(
        settings: Settings,
        store: Store,
        clock: SharedClock,
        recorded: Arc<Notify>,
        facts: watch::Sender<Facts>,
    ) -> Result<Self, ServerError> {
        let servers = match &settings.gate.opens {
            Opens::Version { servers, .. } | Opens::Content(servers) => Server::all(servers)?,
            Opens::Settled | Opens::Delay(_) | Opens::Command(_) => Vec::new(),
        };
        Ok(Self {
            settings,
            store,
            clock,
            recorded,
            facts,
            servers,
            content: Content::default(),
            reached: Reached::default(),
            waited: Vec::new(),
            last_pause: None,
            next: Timestamp::EPOCH,
            why: String::new(),
            output: String::new(),
            told: BTreeMap::new(),
        })
    }

    /// Looks whether the origin is ready for what waits, if it is time, and lets that go.
    pub async fn step(&mut self) -> Result<Step, EngineError> {
        let now = self.clock.server_now();
        let gated = self.store.gated(&self.settings.origin).await?;
        let (waiting, coming): (Vec<_>, Vec<_>) =
            gated.into_iter().partition(|gated| gated.ready_at <= now);
        let complete_at = coming.iter().map(|gated| gated.ready_at).min();
        let waits: Vec<(DeployId, i64)> =
            waiting.iter().map(|gated| (gated.deploy.clone(), gated.through)).collect();
        if waits != self.waited {
            // News: who serves it may serve it at once.
            self.waited = waits;
            (self.last_pause, self.next) = (None, now);
            self.told.retain(|deploy, _| waiting.iter().any(|gated| gated.deploy == *deploy));
        }
        if waiting.is_empty() {
            (self.why, self.output) = (String::new(), String::new());
            self.content = Content::default();
            self.publish(None);
            return Ok(Step::Idle { until: complete_at });
        }
        if self.next <= now {
            if self.why.is_empty() {
                "the origin is being looked at".clone_into(&mut self.why);
            }
            self.publish(Some(&waiting));
            let look = self.look(&waiting).await?;
            for gated in &look.opens {
                self.open(gated).await?;
            }
            (self.why, self.output) = (look.why, look.output);
            if !look.opens.is_empty() {
                return Ok(Step::Worked);
            }
            let is_command = matches!(self.settings.gate.opens, Opens::Command(_));
            let bounds = if is_command { COMMAND_PAUSE } else { LOOK_PAUSE };
            let pause = pause(self.last_pause, bounds);
            self.last_pause = Some(pause);
            self.next = look.until.unwrap_or_else(|| self.clock.server_now().plus(pause));
        }
        let alarm_at = self.alarm(&waiting);
        self.publish(Some(&waiting));
        Ok(Step::Idle {
            until: [complete_at, alarm_at, Some(self.next)].into_iter().flatten().min(),
        })
    }

    async fn open(&self, gated: &GatedDeploy) -> Result<(), StoreError> {
        let (now, gate) = (self.clock.server_now(), &self.settings.gate);
        let echo = (!gate.echo.is_zero()).then(|| now.plus(gate.echo));
        let origin = &self.settings.origin;
        if self.store.open_gate(origin, gated, now, echo).await? > 0 {
            self.recorded.notify_one();
            let waited_seconds = now.since(gated.ready_at).as_secs();
            let (deploy, wishes) = (&gated.deploy, gated.wishes);
            tracing::info!(%origin, %deploy, wishes, waited_seconds, "the gate opened");
        }
        Ok(())
    }

    /// Tells a person of deploys that wait for too long; returns when the next is to be told of.
    fn alarm(&mut self, waiting: &[GatedDeploy]) -> Option<Timestamp> {
        if matches!(self.settings.gate.opens, Opens::Settled | Opens::Delay(_)) {
            return None;
        }
        let (now, after) = (self.clock.server_now(), self.settings.gate.alarm_after);
        let mut next = None;
        for gated in waiting {
            let told = self.told.get(&gated.deploy).copied();
            let mut at = alarm_at(gated.ready_at, after, told);
            if at <= now {
                let (origin, deploy) = (&self.settings.origin, &gated.deploy);
                let waited_seconds = now.since(gated.ready_at).as_secs();
                tracing::error!(
                    event = "gate-closed", %origin, %deploy, wishes = gated.wishes, waited_seconds, why = self.why,
                    output = self.output,
                    "the gate stays closed, and nothing of the deploy is refreshed: mend the origin, or \
                     let it go with `refreshd gate open {deploy}`"
                );
                self.told.insert(gated.deploy.clone(), now);
                at = alarm_at(gated.ready_at, after, Some(now));
            }
            next = next.into_iter().chain([at]).min();
        }
        next
    }

    fn publish(&self, waiting: Option<&[GatedDeploy]>) {
        let news = waiting.map(|waiting| GateFacts {
            deploys: waiting.len() as u64,
            wishes: waiting.iter().map(|gated| gated.wishes).sum(),
            since: waiting.iter().map(|gated| gated.ready_at).min().unwrap_or_default(),
            why: self.why.clone(),
            output: self.output.clone(),
            alarmed: !self.told.is_empty(),
        });
        let origin = &self.settings.origin;
        self.facts.send_if_modified(|facts| {
            if facts.gates.get(origin) == news.as_ref() {
                return false;
            }
            facts.gates.remove(origin);
            facts.gates.extend(news.map(|news| (origin.clone(), news)));
            true
        });
    }
}

/// Lets go what waits at gates that the configuration knows no more.
pub(super) async fn let_go_of_others<'o>(
    store: &Store,
    gated: impl Iterator<Item = &'o OriginName> + Clone,
    now: Timestamp,
) -> Result<(), StoreError> {
    for origin in store.at_gates().await? {
        if gated.clone().any(|name| *name == origin) {
            continue;
        }
        for gated in store.gated(&origin).await? {
            store.open_gate(&origin, &gated, now, None).await?;
            tracing::warn!(%origin, deploy = %gated.deploy, "the origin has no gate any more: what waited goes out");
        }
    }
    Ok(())
}
