//! The whole way: random pushes to a bare repository with the hook, a checkout that a real nginx serves
//! behind the sandbox's edge, and a gate that waits until it serves what was pushed.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use refreshd::domain::push::CommitId;
use refreshd::domain::quota::PerKind;
use refreshd::sandbox::Options;
use serde_json::Value;

use super::repository::{Work, git};
use crate::announce::install_hook;
use crate::edge::{Nginx, nginx};
use crate::world::{Daemon, World, wait_for};

/// Random numbers that a seed repeats (Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

struct Site {
    world: World,
    work: Work,
    random: Random,
    /// Files of a large commit.
    large: usize,
    /// Targets that were accepted and looked at.
    seen: usize,
    /// What the branch holds.
    tip: CommitId,
    pushes: usize,
    _nginx: Nginx,
    _listener: TcpListener,
}

/// The URLs that differ between two commits.
fn urls(work: &Work, before: &CommitId, after: &CommitId) -> BTreeSet<String> {
    let listed =
        work.git(&["diff", "--name-status", "--no-renames", before.as_str(), after.as_str()]);
    let url = |line: &str| {
        let (_, path) = line.split_once('\t').expect("a letter and a path");
        format!("https://www.example.com/{}", path.replace(' ', "%20"))
    };
    listed.lines().map(url).collect()
}

impl Site {
    async fn new(seed: u64, large: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("as nginx wants it");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let quota = PerKind::from_fn(|_| 10_000_000);
        let world =
            World::with(Options { time_scale: 3_000, quota, ..Options::new(server.clone()) }).await;
        let bare = world.path("www.git");
        git(&world.path(""), &["init", "-q", "--bare", "-b", "main", "www.git"]);
        git(&bare, &["config", "receive.denyDeleteCurrent", "ignore"]);
        let work = Work::new(world.path("work"));
        work.git(&["remote", "add", "origin", &bare.display().to_string()]);
        for number in 0..40 {
            work.write(&format!("d{}/page {number}.html", number % 5), &format!("{number}"));
        }
        let tip = work.commit_all();
        work.git(&["push", "-q", "origin", "main"]);
        install_hook(&world, &bare);
        let keys = format!(
            "repository = \"{}\"\n[origin.www.hold]\nchanged_percent = 0\nremoved_percent = 0\n\
             [origin.www.gate]\nopens = \"content\"\nservers = [\"{server}\"]",
            bare.display()
        );
        world.configure(
            "[account.main.quota]\nurl = 10000000\n[account.main.cover]\nwiden = false",
            &keys,
        );
        let text = std::fs::read_to_string(world.config()).expect("the configuration");
        let lines = text.lines().filter(|line| !line.starts_with("root ="));
        std::fs::write(world.config(), lines.collect::<Vec<_>>().join("\n")).expect("written");
        let nginx = nginx(&world.path(""), &world.root(), &listener);
        let site = Self {
            world,
            work,
            random: Random(seed),
            large,
            seen: 0,
            tip,
            pushes: 0,
            _nginx: nginx,
            _listener: listener,
        };
        site.check_out();
        site
    }

    fn start(&self) -> Daemon {
        let daemon = self.world.start();
        self.world.wait_ready();
        daemon
    }

    /// Deploys: what the branch holds is what nginx serves from now on.
    fn check_out(&self) {
        let words = [
            "--git-dir",
            "../www.git",
            "--work-tree",
            ".",
            "checkout",
            "-q",
            "-f",
            "main",
            "--",
            ".",
        ];
        let root = self.world.root();
        for entry in std::fs::read_dir(&root).expect("it is listed") {
            let path = entry.expect("an entry").path();
            let is_dir = path.is_dir();
            let removed =
                if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("removed");
        }
        git(&root, &words);
    }

    fn push(&mut self, words: &[&str]) {
        self.work.git(&[&["push", "-q", "origin"], words].concat());
        self.pushes += 1;
    }

    /// Pushes the branch where the working tree is; returns the URLs that this changes.
    fn push_main(&mut self) -> BTreeSet<String> {
        self.push(&["+HEAD:refs/heads/main"]);
        let head = self.work.head();
        let changed = urls(&self.work, &self.tip, &head);
        self.tip = head;
        changed
    }

    fn files(&self) -> Vec<String> {
        self.work.git(&["ls-files"]).lines().map(str::to_owned).collect()
    }

    /// Edits, adds, removes and renames some files.
    fn edit(&mut self) {
        for _ in 0..=self.random.below(4) {
            let files = self.files();
            let file = &files[self.random.below(files.len())];
            let number = self.random.below(1_000_000);
            match self.random.below(5) {
                0 => self.work.write(&format!("d{}/new {number}.html", number % 7), "new"),
                1 if files.len() > 20 => {
                    self.work.git(&["rm", "-q", "-f", file]);
                }
                2 => {
                    self.work.git(&["mv", file, &format!("moved {number}.html")]);
                }
                _ => self.work.write(file, &format!("text {number}")),
            }
            self.work.git(&["add", "-A"]);
        }
    }

    fn round(&mut self) -> BTreeSet<String> {
        self.work.git(&["checkout", "-q", "-B", "main", self.tip.clone().as_str()]);
        match self.random.below(8) {
            0 => {
                // A branch of its own, merged.
                self.work.git(&["checkout", "-q", "-B", "side"]);
                self.edit();
                self.work.commit_all();
                self.push(&["+side"]);
                self.work.git(&["checkout", "-q", "main"]);
                self.work.write(&format!("only {}.html", self.pushes), "main");
                self.work.commit_all();
                self.work.git(&["merge", "-q", "--no-ff", "-m", "merged", "side"]);
                self.push_main()
            }
            1 => {
                // History is written anew.
                let back = format!("HEAD~{}", self.random.below(3));
                let ancestors = self.work.git(&["rev-list", "--first-parent", "--count", "HEAD"]);
                if ancestors.parse::<usize>().expect("a number") > 3 {
                    self.work.git(&["reset", "-q", "--hard", &back]);
                }
                self.edit();
                self.work.commit_all();
                self.push_main()
            }
            2 => {
                // The branch goes, and comes back, perhaps elsewhere.
                let back = format!("HEAD~{}", self.random.below(2));
                let is_deep =
                    self.work.git(&["rev-list", "--first-parent", "HEAD"]).lines().count() > 3;
                self.push(&[":refs/heads/main"]);
                if is_deep {
                    self.work.git(&["reset", "-q", "--hard", &back]);
                }
                self.push_main()
            }
            3 if self.pushes.is_multiple_of(3) => {
                let number = self.pushes;
                for file in 0..self.large {
                    self.work
                        .write(&format!("large{}/f{file}.txt", number % 2), &number.to_string());
                }
                self.work.commit_all();
                self.push_main()
            }
            _ => {
                self.edit();
                self.work.commit_all();
                self.push_main()
            }
        }
    }

    /// Waits until every delivery has its fate.
    fn wait_fates(&self) {
        let is_done = || {
            let output = self.world.command(&["hooks", "list", "--json"]);
            let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
            let deliveries = answer["deliveries"].as_array()?;
            deliveries.iter().all(|one| !one["fate"].is_null()).then_some(())
        };
        wait_for("fates", is_done).unwrap_or_else(|| panic!("{}", self.world.log()));
    }

    /// Deploys, and compares what was refreshed with what should have been.
    fn assert_refreshed(&mut self, expected: &BTreeSet<String>, what: &str) {
        self.wait_fates();
        let early = self.world.targets().split_off(self.seen);
        let is_early = |url: &&String| {
            let page = url.trim_start_matches("https://www.example.com/").replace("%20", " ");
            let served = std::fs::read(self.world.root().join(&page)).ok();
            let blob = format!("{}:{page}", self.tip);
            let output = Command::new("git")
                .current_dir(&self.work.0)
                .args(["cat-file", "blob", &blob])
                .output()
                .expect("git runs");
            served != output.status.success().then_some(output.stdout)
        };
        let early: Vec<_> = early.iter().filter(is_early).collect();
        assert_eq!(early, [""; 0], "{what}: before it was served");
        self.check_out();
        let count = || (self.world.targets().len() >= self.seen + expected.len()).then_some(());
        wait_for(what, count);
        self.world.wait_quiet();
        let arrived: BTreeSet<String> =
            self.world.targets().split_off(self.seen).into_iter().collect();
        self.seen = self.world.targets().len();
        let missing: Vec<_> = expected.difference(&arrived).collect();
        let extra: Vec<_> = arrived.difference(expected).collect();
        let log = || self.world.log();
        assert_eq!((missing, extra), (vec![], vec![]), "{what}: missing, extra\n{}", log());
    }
}

/// Each failure names its seed and round.
async fn run(seed: u64, pushes: usize, large: usize) {
    let mut site = Site::new(seed, large).await;
    let mut daemon = site.start();
    let mut round = 0;
    while site.pushes < pushes {
        round += 1;
        let mut what = format!("seed {seed}, round {round}");
        let mut expected = BTreeSet::new();
        if round % 6 == 0 {
            // Several while nobody hears of them.
            what.push_str(", while it was down");
            daemon.kill();
            for _ in 0..3 {
                expected.append(&mut site.round());
            }
            daemon = site.start();
        } else {
            expected.append(&mut site.round());
        }
        site.assert_refreshed(&expected, &what);
    }
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_pushes_refresh_exactly_what_they_change_once_it_is_served() {
    run(7, 40, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 200 pushes, commits of 3,000 files"]
async fn two_hundred_random_pushes_refresh_exactly_what_they_change_once_it_is_served() {
    for seed in [11, 12] {
        run(seed, 100, 3_000).await;
    }
}
