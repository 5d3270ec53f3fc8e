//! Gates: when what changed may be refreshed, because the origin's web servers serve it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::push::CommitId;
use super::time::Timestamp;

/// A gate that stays closed is told of again after this long.
const AGAIN: Duration = Duration::from_secs(3_600);

/// The fewest digits by which a commit is known: git writes no fewer of its own accord.
const LEAST_DIGITS: usize = 7;

/// The gate of an origin. The default is open: what settled is refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Gate {
    /// What opens it.
    pub opens: Opens,
    /// How long after it opened everything is refreshed once more; zero for never.
    pub echo: Duration,
    /// How long it may stay closed before a person is told.
    pub alarm_after: Duration,
}

impl Gate {
    /// Returns whether deploys have to pass it at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.opens != Opens::Settled || !self.echo.is_zero()
    }
}

/// What opens a gate.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Opens {
    /// Nothing more is needed than that the tree settled, or the push came.
    #[default]
    Settled,
    /// So much time since.
    Delay(Duration),
    /// A command that succeeds.
    Command(GateCommand),
    /// Every web server answers this path with a body that names the commit; of a watched tree, with
    /// the bytes of the file that the tree has there.
    Version {
        /// The path, from `/` on.
        path: String,
        /// Who is asked.
        servers: Servers,
    },
    /// Every web server serves the bytes that the tree has, of every path that changed.
    Content(Servers),
}

/// A command that says whether the origin is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCommand {
    /// The program and its arguments; no shell reads them.
    pub words: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where it runs; the root of the file system by default.
    pub directory: PathBuf,
}

/// The web servers of an origin: they are asked for its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// `http://10.0.0.5:8080` or `https://10.0.0.5`: at least one.
    pub urls: Vec<Url>,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// Returns whether a text names a commit: by its whole name or by at least seven digits of it, as a word
/// of its own. `git describe` puts a `g` in front.
#[must_use]
pub fn names_commit(text: &str, commit: &CommitId) -> bool {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_name = |word: &str| {
        let is_begun = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b);
        let name = commit.as_str();
        (LEAST_DIGITS..=name.len()).contains(&word.len())
            && word.bytes().zip(name.bytes()).all(is_begun)
    };
    words.flat_map(|word| [Some(word), word.strip_prefix('g')]).flatten().any(is_name)
}

/// Returns the first commit that a text names as a whole.
#[must_use]
pub fn named_whole(text: &str) -> Option<CommitId> {
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric());
    words.find_map(|word| CommitId::parse(word).ok().flatten())
}

/// Returns how many of the deploys that wait, the oldest first, a web server has which answers so: up to
/// the newest whose commit it names. With the `tip`, the last commit of all that was pushed, it has all.
#[must_use]
pub fn position(answer: &str, waiting: &[Option<CommitId>], tip: Option<&CommitId>) -> usize {
    let is_named = |commit: &CommitId| names_commit(answer, commit);
    if tip.is_some_and(is_named) {
        return waiting.len();
    }
    let newest = waiting.iter().rposition(|commit| commit.as_ref().is_some_and(is_named));
    newest.map_or(0, |newest| newest + 1)
}

/// Returns how long to wait for the next look: from the first bound, doubling to the second.
#[must_use]
pub fn pause(before: Option<Duration>, (first, longest): (Duration, Duration)) -> Duration {
    before.map_or(first, |before| (before * 2).min(longest))
}

/// Returns when a person is told that a deploy is complete since `ready_at` and its gate still closed,
/// for the first time or once more.
#[must_use]
pub fn alarm_at(ready_at: Timestamp, after: Duration, told: Option<Timestamp>) -> Timestamp {
    told.map_or_else(|| ready_at.plus(after), |told| told.plus(AGAIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commit(digit: char) -> CommitId {
        CommitId::parse(&digit.to_string().repeat(40)).expect("a name").expect("not none")
    }

    #[test]
    fn a_commit_is_named_by_a_whole_word_of_seven_digits_at_least() {
        let commit = CommitId::parse("0123456789abcdef0123456789abcdef01234567");
        let commit = commit.expect("a name").expect("not none");
        for (text, is_named) in [
            ("0123456789abcdef0123456789abcdef01234567\n", true),
            ("{\"commit\":\"0123456\"}", true),
            ("v1.2-14-g01234567", true),
            ("build 0123456789ABCDEF of main", true),
            ("012345", false),
            ("x0123456", false),
            ("01234567x", false),
            ("0123457", false),
            ("0123456789abcdef0123456789abcdef012345670", false),
            ("", false),
        ] {
            assert_eq!(names_commit(text, &commit), is_named, "{text}");
            let is_whole = text.starts_with(commit.as_str()) && is_named;
            assert_eq!(named_whole(text).is_some_and(|named| named == commit), is_whole, "{text}");
        }
    }

    #[test]
    fn a_server_has_what_is_older_than_the_commit_it_names() {
        let waiting = [Some(commit('a')), None, Some(commit('b')), Some(commit('a'))];
        let position = |answer: &str| position(answer, &waiting[..3], Some(&commit('c')));
        assert_eq!(position(&"d".repeat(40)), 0);
        assert_eq!(position(&"a".repeat(40)), 1);
        assert_eq!(position(&"b".repeat(40)), 3);
        assert_eq!(position(&"c".repeat(12)), 3, "the tip has all");
        assert_eq!(super::position(&"a".repeat(40), &waiting, None), 4, "what was taken back");
    }

    #[test]
    fn pauses_double_and_alarms_come_every_hour() {
        let seconds = Duration::from_secs;
        let bounds = (seconds(5), seconds(60));
        let pauses =
            [None, Some(5), Some(40), Some(60)].map(|last| pause(last.map(seconds), bounds));
        assert_eq!(pauses, [5, 10, 60, 60].map(seconds));
        let at = Timestamp::from_seconds;
        assert_eq!(alarm_at(at(100), seconds(600), None), at(700));
        assert_eq!(alarm_at(at(100), seconds(600), Some(at(701))), at(4_301));
    }

    proptest! {
        #[test]
        fn who_names_a_newer_commit_has_no_less(named in 0..6_usize, more in 0..6_usize) {
            let waiting: Vec<_> = "abcdef".chars().map(|digit| Some(commit(digit))).collect();
            let of = |at: usize| position(waiting[at].as_ref().expect("one").short(), &waiting, None);
            prop_assert_eq!(of(named), named + 1);
            prop_assert!(of(named.max(more)) >= of(named));
        }
    }
}
