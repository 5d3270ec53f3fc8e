//! How the daemon puts another configuration in force, or refuses it.

use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use super::run::{Daemon, cdns};
use super::{Exit, Failed};
use crate::config::{Config, Difference, Problems};
use crate::domain::facts::ReloadFacts;
use crate::domain::path::foreign_text;
use crate::engine::{ApplyError, EngineError, Fresh, Remapped};
use crate::web::reload::{Asked, Problem, Reloaded, Sort};

/// A configuration of which all that could fail is made.
pub(super) struct Prepared {
    difference: Difference,
    fresh: Fresh,
    /// Where deliveries are taken.
    hooks: Option<Arc<TcpListener>>,
    hook_socket: Option<UnixListener>,
}

/// Why a configuration is refused.
pub(super) struct Refused {
    sort: Sort,
    /// For who asks.
    shown: String,
    /// For the log.
    line: String,
}

impl Refused {
    fn new(sort: Sort, why: &impl ToString) -> Self {
        let shown = why.to_string();
        Self { sort, line: shown.clone(), shown }
    }
}

impl From<Problems> for Refused {
    fn from(problems: Problems) -> Self {
        let (shown, line) = (problems.render(false), problems.to_string());
        Self { sort: Sort::Configuration, shown, line }
    }
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        let sort = match failed.exit {
            Exit::Credentials => Sort::Credentials,
            Exit::Config => Sort::Configuration,
            _ => Sort::Io,
        };
        Self::new(sort, &failed.message)
    }
}

impl Daemon {
    /// Reads the configuration again and makes what could fail of it. Changes nothing. `meant` is the file that
    /// the asker means.
    pub(super) async fn prepare(&self, meant: Option<&Path>) -> Result<Prepared, Refused> {
        let old = self.engine.config();
        let place = |path: &Path| std::fs::canonicalize(path).ok();
        if let Some(meant) = meant.filter(|meant| place(meant) != place(&old.path)) {
            let (meant, ours) = (meant.display(), old.path.display());
            let why = format!(
                "this is the daemon of {ours}, not of {meant}\nname its file with --config"
            );
            return Err(Refused::new(Sort::Restart, &why));
        }
        let config = Config::load(&old.path)?;
        let difference = Difference::between(old, &config);
        if !difference.needs_restart.is_empty() {
            let keys: Vec<String> =
                difference.needs_restart.iter().map(|key| format!("`{key}`")).collect();
            let why = format!(
                "{} can't be changed while the daemon runs\nto have it all: systemctl restart refreshd",
                keys.join(" and ")
            );
            return Err(Refused::new(Sort::Restart, &why));
        }
        let started = difference.accounts.started();
        let accounts = config.accounts.values().filter(|account| started.contains(&account.name));
        let cdns = cdns(accounts, &self.clock).await?;
        let hooks = self.hooks_listener(&config)?;
        let hook_socket = self.bind_hook_socket(&config)?;
        let fresh = self.engine.prepare(config, cdns);
        let fresh = fresh.map_err(|error| Refused::new(Sort::Io, &error))?;
        Ok(Prepared { difference, fresh, hooks, hook_socket })
    }

    /// Puts a configuration in force, or tells why not; where it was only to be told what would change, tells
    /// that. Fails when the daemon can't go on.
    pub(super) async fn renew(
        &mut self,
        asked: Option<Asked>,
        prepared: Result<Prepared, Refused>,
    ) -> Result<(), EngineError> {
        let is_dry = asked.as_ref().is_some_and(|asked| asked.dry_run);
        let result = match prepared {
            Ok(prepared) if is_dry => Ok(self.preview(prepared).await),
            Ok(prepared) => self.put_in_force(prepared).await?,
            Err(refused) => Err(refused),
        };
        let who = asked.as_ref().map_or("SIGHUP", |asked| asked.who.as_str());
        if !is_dry {
            self.tell(who, &result);
        }
        if let Some(asked) = asked {
            let problem =
                |refused: Refused| Problem { sort: refused.sort, problems: vec![refused.shown] };
            // Whoever asked may have gone.
            let _ = asked.answer.send(result.map_err(problem));
        }
        Ok(())
    }

    async fn preview(&self, prepared: Prepared) -> Reloaded {
        let held = self.engine.preview(&prepared.fresh).await;
        reloaded(&prepared.difference, held)
    }

    async fn put_in_force(
        &mut self,
        prepared: Prepared,
    ) -> Result<Result<Reloaded, Refused>, EngineError> {
        let Prepared { difference, fresh, hooks, hook_socket } = prepared;
        match self.engine.apply(fresh).await {
            Ok(applied) => {
                self.refit(hooks, hook_socket);
                Ok(Ok(reloaded(&difference, applied.held)))
            }
            Err(ApplyError::Engine(error)) => Err(error),
            Err(error) => {
                // What was stopped for it runs anew.
                self.refit(self.listens(), None);
                Ok(Err(Refused::new(Sort::Io, &error)))
            }
        }
    }

    /// Says in the log and to whoever asks for facts how a reload ended.
    fn tell(&self, who: &str, result: &Result<Reloaded, Refused>) {
        let at = self.clock.server_now();
        let facts = match result {
            Ok(reloaded) => {
                let changed = reloaded.changed.join(", ");
                let changed = if changed.is_empty() { "nothing" } else { changed.as_str() };
                tracing::info!(
                    event = "reload-applied",
                    who,
                    changed,
                    "the configuration was read again and is in force"
                );
                ReloadFacts { at, refused: String::new(), changed: reloaded.changed.clone() }
            }
            Err(refused) => {
                let why = foreign_text(&refused.line);
                tracing::error!(
                    event = "reload-refused",
                    who,
                    "the configuration was read again and is refused, the one before stays in force: {why}"
                );
                ReloadFacts { at, refused: refused.line.replace('\n', "; "), changed: Vec::new() }
            }
        };
        self.engine.publisher().send_modify(|known| known.reload = Some(facts));
    }
}

fn reloaded(difference: &Difference, held: Vec<Remapped>) -> Reloaded {
    let held = held.into_iter().map(|held| crate::web::reload::Remapped {
        origin: held.origin,
        urls: held.urls,
        sample: held.sample,
        deploy: held.deploy,
    });
    Reloaded { changed: difference.lines(), held: held.collect() }
}
