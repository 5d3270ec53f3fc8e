//! `POST /announce` on the hook socket: a repository's own hook tells of a push.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::concern::{Served, concerned};
use super::who::{NOBODY, Peer};
use super::wishes::Refused;

mod shares;

use crate::clock::SharedClock;
use crate::domain::names::{HookName, OriginName};
use crate::domain::push::Told;
use crate::source::announce::{Announcement, LONGEST, left, read};
use crate::store::{Delivery, Store, StoreError};

/// How many refused files of a spool are named at once.
const NAMED: usize = 10;

/// What announcements are listed under among the deliveries.
const HOOK: &str = "post-receive";

/// Takes announcements.
#[derive(Clone)]
pub struct Announcements {
    /// Where they are written down.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// By the path of a repository as it is configured: the origins that it holds.
    pub repositories: BTreeMap<PathBuf, Vec<Served>>,
    /// Users who may announce besides root, this process's own and a repository's owner.
    pub users: Vec<u32>,
    /// Wakes who looks at an origin's pushes.
    pub pushed: BTreeMap<OriginName, Arc<Notify>>,
}

/// Why an announcement is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is no announcement: {0}")]
    Unreadable(String),
    #[error("{0} is no repository of an origin; name it as its `repository`")]
    Unknown(String),
    #[error(
        "the user who announced can't be told apart: the unit's PrivateUsers= hides it; install the \
         drop-in refreshd-git.conf"
    )]
    Hidden,
    #[error(
        "uid {uid} may not announce pushes to {repository}; add the user to `users` in [hooks]"
    )]
    Stranger { uid: u32, repository: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Hidden | Self::Stranger { .. } => StatusCode::FORBIDDEN,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Who takes announcements, as the configuration in force has it.
#[derive(Clone)]
struct Taking(watch::Receiver<Announcements>);

impl FromRef<Taking> for Announcements {
    fn from_ref(taking: &Taking) -> Self {
        taking.0.borrow().clone()
    }
}

/// Serves the hook socket until told to stop.
pub async fn serve(
    listener: UnixListener,
    announcements: watch::Receiver<Announcements>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let limit = DefaultBodyLimit::max(usize::try_from(LONGEST).unwrap_or(usize::MAX));
    let taking = Taking(announcements);
    let router = Router::new().route("/announce", post(answer)).layer(limit).with_state(taking);
    super::serve_router(shares::Shares::new(listener), router, stop).await
}

/// Answers `POST /announce`: 202 once it is written down, 400, 403 or 404 when it never will be, 503
/// when it could not be.
async fn answer(
    State(announcements): State<Announcements>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(announcement): Json<Announcement>,
) -> Response {
    match announcements.take(&announcement, peer.uid()).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => {
            let repository = shown(&announcement.repository);
            tracing::warn!(foreign.repository = repository, foreign.refusal = %refusal, "an announcement was refused");
            let problems = vec![refusal.to_string()];
            (refusal.status(), Json(Refused { problems })).into_response()
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().take(512).collect()
}

impl Announcements {
    /// Empties the spool of every repository into the inbox. What can't be taken stays and is said.
    pub async fn empty_spools(&self) {
        for path in self.repositories.keys() {
            let repository = path.clone();
            // The disk may be slow, and its owner may have put anything there.
            let looking = spawn_blocking(move || left(&git_directory(&repository)));
            let found = match looking.await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::warn!(repository = %path.display(), %error, "the spool can't be read");
                    continue;
                }
                // The daemon ends.
                Err(_) => return,
            };
            let mut refused = 0_usize;
            for file in found {
                let Ok(left) = spawn_blocking(move || read(file)).await else { return };
                let taken = match &left.announcement {
                    Ok(announcement) => {
                        self.take(announcement, Some(left.uid)).await.map_err(|e| e.to_string())
                    }
                    Err(why) => Err(why.clone()),
                };
                let file = shown(&left.file);
                match taken.map(|()| std::fs::remove_file(&left.file)) {
                    Ok(Ok(())) => {
                        tracing::info!(file, "a push that was announced meanwhile was taken over");
                    }
                    // It is known by its id, and the repository's next push removes it.
                    Ok(Err(error)) => tracing::debug!(file, %error, "it can't be removed"),
                    Err(why) => {
                        refused += 1;
                        if refused <= NAMED {
                            tracing::warn!(file, why, "what was left in a spool is refused");
                        }
                    }
                }
            }
            if refused > NAMED {
                let repository = path.display();
                tracing::warn!(%repository, refused, "more of what was left in the spool is refused");
            }
        }
    }

    /// Returns who owns a repository that the configuration names, and the origins that it holds. Only what
    /// the configuration names is looked at: what was announced may lead anywhere.
    async fn known(&self, announced: &Path) -> Option<(u32, Vec<Served>)> {
        let (announced, repositories) = (announced.to_owned(), self.repositories.clone());
        let looking = spawn_blocking(move || {
            let is_it = |path: &PathBuf| {
                let found = std::fs::canonicalize(git_directory(path));
                found.is_ok_and(|found| found == announced)
            };
            let of = repositories.into_iter().filter(|(path, _)| is_it(path));
            let origins: Vec<_> = of.flat_map(|(_, origins)| origins).collect();
            let owner = (!origins.is_empty()).then(|| announced.metadata().ok()).flatten()?.uid();
            Some((owner, origins))
        });
        looking.await.ok().flatten()
    }

    /// Writes an announcement down, if this user may make it.
    async fn take(&self, announcement: &Announcement, uid: Option<u32>) -> Result<(), Refusal> {
        if !announcement.has_plain_id() {
            return Err(Refusal::Unreadable("its id is no plain word".to_owned()));
        }
        let pushes = announcement.pushes().map_err(|bad| Refusal::Unreadable(bad.to_string()))?;
        let repository = shown(&announcement.repository);
        let Some((owner, origins)) = self.known(&announcement.repository).await else {
            return Err(Refusal::Unknown(repository));
        };
        match uid {
            Some(0) => {}
            Some(uid) if uid == rustix::process::geteuid().as_raw() => {}
            Some(uid) if self.users.contains(&uid) => {}
            None | Some(NOBODY) => return Err(Refusal::Hidden),
            Some(uid) if uid == owner => {}
            Some(uid) => return Err(Refusal::Stranger { uid, repository }),
        }
        let (concerned, why) = concerned(Told::Pushes(pushes), &origins);
        let woken: Vec<OriginName> = concerned.iter().map(|(origin, _)| origin.clone()).collect();
        let body = serde_json::to_vec(announcement)
            .map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let delivery = Delivery {
            hook: HookName::from(HOOK),
            key: announcement.key(),
            at: self.clock.server_now(),
            event: "push".to_owned(),
            source: uid.map_or_else(String::new, |uid| format!("uid {uid}")),
            content_type: "application/json".to_owned(),
            body,
            pushes: concerned,
            why,
        };
        let delivered = self.store.receive(vec![delivery]).await?;
        if delivered.iter().any(|delivered| delivered.repeated) {
            return Ok(());
        }
        let id = delivered.first().map(|delivered| delivered.id.0);
        tracing::info!(delivery = id, repository, "a push was announced");
        for origin in woken {
            if let Some(pushed) = self.pushed.get(&origin) {
                pushed.notify_one();
            }
        }
        Ok(())
    }
}

/// Returns the directory that git keeps a repository in: of a clone, the one in its work tree.
fn git_directory(path: &Path) -> PathBuf {
    let inner = path.join(".git");
    if inner.is_dir() { inner } else { path.to_owned() }
}
