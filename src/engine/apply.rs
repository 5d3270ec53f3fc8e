//! A new configuration takes the place of the one in force: what is the same runs on undisturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};

use tokio::task::spawn_blocking;

use super::crew::Part;
use super::gate::Gates;
use super::remap::{Remap, Remapped};
use super::{Engine, EngineError, Place, is_ready};
use crate::cdn::Cdn;
use crate::config::{Config, Difference, Origin};
use crate::domain::deploy::Deploy;
use crate::domain::facts::OriginFacts;
use crate::domain::index::Index;
use crate::domain::intent::Outgoing;
use crate::domain::names::{AccountName, OriginName};
use crate::probe::server::ServerError;
use crate::store::{Gating, Record, StoreError};

/// A configuration that can be applied: what could fail of it is made.
pub struct Fresh {
    config: Config,
    difference: Difference,
    cdns: BTreeMap<AccountName, Arc<dyn Cdn>>,
    gates: BTreeMap<OriginName, Gates>,
}

/// What applying came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What is held for a person because origins are mapped otherwise.
    pub held: Vec<Remapped>,
}

/// Why a configuration is not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// What a new mapping gives could not be written down; the configuration before is in force.
    #[error("what the new mapping of origin `{origin}` gives can't be written down: {source}")]
    Unwritten {
        /// Whose.
        origin: OriginName,
        /// Why.
        source: StoreError,
    },
    /// The daemon can't go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Makes what could fail of another configuration; `cdns` are those of the accounts that differ.
    pub fn prepare(
        &self,
        config: Config,
        cdns: BTreeMap<AccountName, Arc<dyn Cdn>>,
    ) -> Result<Fresh, ServerError> {
        let difference = Difference::between(&self.config, &config);
        let started = difference.origins.started();
        let gates = self.make_gates(started.iter().filter_map(|name| config.origins.get(name)))?;
        Ok(Fresh { config, difference, cdns, gates })
    }

    /// Returns what a configuration would have held because origins are mapped otherwise.
    pub async fn preview(&self, fresh: &Fresh) -> Vec<Remapped> {
        let mut news = Vec::new();
        for name in &fresh.difference.remapped {
            let files = self.places.get(name).map(|place| place.index.clone());
            if let Some(remap) = self.remap(name, &fresh.config, files) {
                news.extend(spawn_blocking(move || remap.look()).await);
            }
        }
        news.retain(|news: &Remapped| news.urls > 0);
        news
    }

    /// Puts a configuration in force. Where it is refused, the one before still is.
    pub async fn apply(&mut self, fresh: Fresh) -> Result<Applied, ApplyError> {
        let Fresh { config, difference, cdns, mut gates } = fresh;
        let held = self.hold_remapped(&difference, &config).await?;
        let (stopped, started) = (difference.origins.stopped(), difference.origins.started());
        let anew = difference.accounts.started();
        let accounts = difference.accounts.stopped();
        let replanned: BTreeSet<_> = difference.reserved.union(&anew).cloned().collect();
        let parts = stopped.iter().cloned().map(Part::Origin);
        let parts = parts.chain(accounts.iter().cloned().map(Part::Account));
        let planners = accounts.iter().chain(&replanned);
        self.crew.stop(&parts.chain(planners.cloned().map(Part::Dispatch)).collect()).await?;
        for name in &stopped {
            passing(self.close(name, difference.origins.removed.contains(name)).await)?;
        }

        let places: BTreeMap<OriginName, Place> =
            stopped.iter().filter_map(|name| self.places.remove_entry(name)).collect();
        self.cdns.retain(|name, _| !accounts.contains(name));
        self.boards.send_modify(|boards| boards.retain(|name, _| !accounts.contains(name)));
        self.facts.send_modify(|facts| {
            for name in &stopped {
                facts.origins.remove(name);
                facts.gates.remove(name);
            }
            facts.accounts.retain(|name, _| !accounts.contains(name));
            let unknown = |name: &OriginName| (name.clone(), OriginFacts::default());
            facts.origins.extend(started.iter().map(unknown));
            facts.ready = is_ready(facts);
        });
        let come = config.accounts.values().filter(|account| anew.contains(&account.name));
        self.take_in(come, &cdns);
        self.config = config.clone();
        passing(self.forget_others().await)?;

        for origin in started.iter().filter_map(|name| config.origins.get(name)) {
            let name = &origin.name;
            self.start_origin(origin, gates.remove(name), places.get(name));
        }
        for account in config.accounts.values() {
            if anew.contains(&account.name) {
                self.start_account(account);
            } else if let Some(board) = self.board(&account.name) {
                // Where its key comes from may hold another one.
                board.key().notify_one();
            }
            if replanned.contains(&account.name) {
                self.start_dispatch(account);
            }
        }
        // What waits for a key of another account, or at a gate that is gone, may go.
        self.recorded.notify_one();
        Ok(Applied { held })
    }

    /// Stops the origins that are mapped otherwise, and records what that gives to be held. After a failure
    /// they run as before.
    async fn hold_remapped(
        &mut self,
        difference: &Difference,
        config: &Config,
    ) -> Result<Vec<Remapped>, ApplyError> {
        let parts = difference.remapped.iter().cloned().map(Part::Origin).collect();
        self.crew.stop(&parts).await?;
        let mut held = Vec::new();
        for name in &difference.remapped {
            let recorded = match self.stored_files(name).await {
                Ok(files) => match self.remap(name, config, files) {
                    Some(remap) => remap.hold(&self.store, &self.clock).await,
                    None => Ok(None),
                },
                Err(error) => Err(error),
            };
            match recorded {
                Ok(remapped) => held.extend(remapped),
                Err(source) => {
                    self.go_back(&difference.remapped)?;
                    return Err(ApplyError::Unwritten { origin: name.clone(), source });
                }
            }
        }
        if !held.is_empty() {
            self.recorded.notify_one();
        }
        Ok(held)
    }

    /// Starts origins that were stopped as they were.
    fn go_back(&mut self, names: &BTreeSet<OriginName>) -> Result<(), EngineError> {
        let config = self.config.clone();
        let origins: Vec<&Origin> =
            names.iter().filter_map(|name| config.origins.get(name)).collect();
        let mut gates = self.make_gates(origins.iter().copied())?;
        for origin in origins {
            let before = self.places.remove(&origin.name);
            self.start_origin(origin, gates.remove(&origin.name), before.as_ref());
        }
        Ok(())
    }

    /// Returns what is known of the files of an origin that is stopped: of a tree what is stored, of a
    /// repository what was listed. None where the stored index is damaged: then a new baseline is taken.
    async fn stored_files(
        &self,
        name: &OriginName,
    ) -> Result<Option<Arc<RwLock<Index>>>, StoreError> {
        let Some(place) = self.places.get(name).filter(|place| !place.is_pushed) else {
            return Ok(self.places.get(name).map(|place| place.index.clone()));
        };
        // It may not have been read before it was stopped.
        let is_read = place.index.read().is_ok_and(|index| index.files() > 0);
        if is_read {
            return Ok(Some(place.index.clone()));
        }
        let chunks = self.store.chunks(name).await?;
        Ok(Index::load(chunks).ok().map(|index| Arc::new(RwLock::new(index))))
    }

    fn remap(
        &self,
        name: &OriginName,
        config: &Config,
        files: Option<Arc<RwLock<Index>>>,
    ) -> Option<Remap> {
        let (place, origin) = (self.places.get(name)?, config.origins.get(name)?);
        let (old, new) = (place.mapping.clone(), Arc::new(origin.mapping.clone()));
        Some(Remap { origin: name.clone(), files: files?, old, new })
    }

    /// Closes the open deploy of an origin that is stopped, unless somebody holds it open and the origin
    /// stays.
    async fn close(&self, name: &OriginName, is_gone: bool) -> Result<(), EngineError> {
        let facts = self.facts.borrow().origins.get(name).cloned().unwrap_or_default();
        let is_held = facts.held_open_until.is_some();
        let Some(id) = facts.announced.filter(|_| is_gone || !is_held) else {
            return Ok(());
        };
        let now = self.clock.server_now();
        let opened_at = id.opened_at().unwrap_or(now);
        let deploy = Deploy { id, origin: name.clone(), opened_at, closed_at: Some(now) };
        let is_gated = self.places.get(name).is_some_and(|place| place.gate.is_some());
        let record = Record {
            outgoing: vec![Outgoing::Deploy(deploy)],
            end_bracket: is_held,
            gate: is_gated.then(Gating::default),
            ..Record::blank(name.clone(), now)
        };
        self.store.record(record).await?;
        Ok(())
    }
}

/// Lets trouble pass that may: what was to be done is done by the deadline of a deploy, or at the next start.
fn passing(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.may_pass() => {
            tracing::error!(
                "the new configuration is in force, and something is left to do: {error}"
            );
            Ok(())
        }
        other => other,
    }
}
