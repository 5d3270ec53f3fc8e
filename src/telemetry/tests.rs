use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::Level;

use crate::clock::ManualClock;
use crate::domain::time::Timestamp;

use super::*;

#[test]
fn the_form_follows_what_stderr_is_and_what_is_asked_for() {
    let colour = |colour| Form::Text { colour };
    for (format, stderr, expected) in [
        (LogFormat::Text, Stderr::SystemdJournal, Form::Journal),
        (LogFormat::Text, Stderr::Terminal, colour(true)),
        (LogFormat::Text, Stderr::Elsewhere, colour(false)),
        (LogFormat::Json, Stderr::SystemdJournal, Form::Json),
        (LogFormat::Json, Stderr::Terminal, Form::Json),
    ] {
        assert_eq!(form(format, stderr), expected, "{format:?} {stderr:?}");
    }
    assert!(is_journal("8:123", 8, 123));
    for other in ["", "8:124", "9:123", "8", "8:123:1", "x:y"] {
        assert!(!is_journal(other, 8, 123), "{other}");
    }
}

#[test]
fn libraries_are_heard_up_to_warn() {
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    for (louder, level) in LogLevel::ALL.into_iter().enumerate() {
        let targets = targets(level);
        let heard =
            |target| levels.iter().filter(|level| targets.would_enable(target, level)).count();
        assert_eq!(heard("refreshd::engine"), louder + 1, "{level:?}");
        assert_eq!(heard("hyper"), (louder + 1).min(2), "{level:?}");
    }
}

/// What was written, to be read by a test.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("whole"))).expect("text")
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` with lines of a form, and returns what they wrote on stderr.
fn logged(form: Form, journal: &Path, work: impl FnOnce(&ManualClock)) -> String {
    let clock = ManualClock::new(Timestamp::from_seconds(1_800_000_000), 1);
    let written = Written::default();
    let lines = Lines::new(form, journal.to_owned(), clock.clone(), Box::new(written.clone()));
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, || work(&clock));
    written.take()
}

const NOWHERE: &str = "/nonexistent/socket";
const HOSTILE: &str = "a\nFAKE=1\x1b[2J\u{202e}gpj.exe\u{2028}\u{7f}";
const HARMLESS: &str = "a\\x0aFAKE=1\\x1b[2J\\xe2\\x80\\xaegpj.exe\\xe2\\x80\\xa8\\x7f";

fn tell_of_hostile_names() {
    tracing::warn!(origin = "www", path = HOSTILE, files = 3, "can't be read: {HOSTILE}");
}

#[test]
fn no_name_breaks_a_line_or_controls_a_terminal() {
    let text =
        logged(Form::Text { colour: false }, Path::new(NOWHERE), |_| tell_of_hostile_names());
    assert_eq!(
        text,
        format!(
            "2027-01-15T08:00:00.000000Z  WARN refreshd::telemetry::tests: can't be read: {HARMLESS} \
             origin=\"www\" path=\"{HARMLESS}\" files=3\n"
        )
    );
    let json = logged(Form::Json, Path::new(NOWHERE), |_| tell_of_hostile_names());
    assert_eq!(json.lines().count(), 1);
    let object: Value = serde_json::from_str(&json).expect("an object");
    assert_eq!(object["path"], HARMLESS);
    assert_eq!(object["message"], format!("can't be read: {HARMLESS}"));
    assert_eq!((&object["level"], &object["files"]), (&"WARN".into(), &3.into()));
}

#[test]
fn long_names_are_cut() {
    let name = "é".repeat(4000);
    let json = logged(Form::Json, Path::new(NOWHERE), |_| tracing::info!(name, "{name}"));
    let object: Value = serde_json::from_str(&json).expect("an object");
    let (field, message) = (object["name"].as_str(), object["message"].as_str());
    assert!(field.is_some_and(|text| text.len() <= 512 && text.ends_with('…')));
    assert!(message.is_some_and(|text| text.len() <= 4096 && text.ends_with('…')));
}

#[test]
fn an_entry_of_the_journal_has_fields_and_the_id_of_its_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let stderr = logged(Form::Journal, &path, |_| {
        tracing::error!(
            event = "key-refused",
            account = "main",
            batch.asks = 2,
            "the key {HOSTILE}"
        );
    });
    assert_eq!(stderr, "", "each line goes one way");
    let mut buffer = [0; 4096];
    let length = journal.recv(&mut buffer).expect("an entry");
    let entry = String::from_utf8(buffer[..length].to_vec()).expect("text");
    let fields: Vec<&str> = entry.lines().filter(|line| !line.starts_with("CODE_LINE=")).collect();
    let message = format!("MESSAGE=the key {HARMLESS} account=\"main\" batch.asks=2");
    assert_eq!(
        fields,
        [
            message.as_str(),
            "PRIORITY=3",
            "SYSLOG_IDENTIFIER=refreshd",
            "CODE_FILE=src/telemetry/tests.rs",
            "REFRESHD_TARGET=refreshd::telemetry::tests",
            "MESSAGE_ID=ebd4908adced472cb93bf7f54bb101cc",
            "REFRESHD_EVENT=key-refused",
            "REFRESHD_ACCOUNT=main",
            "REFRESHD_BATCH_ASKS=2",
        ]
    );
    drop((journal, folder));
    let stderr = logged(Form::Journal, &path, |_| tracing::error!(account = "main", "away"));
    assert_eq!(stderr, "ERROR refreshd::telemetry::tests: away account=\"main\"\n");
}

#[test]
fn repetitions_are_left_out_and_counted_but_no_turn_of_affairs_is() {
    let fail = |origin: &str| tracing::warn!(origin, "it fails");
    let text = logged(Form::Text { colour: false }, Path::new(NOWHERE), |clock| {
        for _ in 0..5 {
            fail("www");
            tracing::info!(origin = "www", "it goes on");
            tracing::error!(event = "cdn-closed", account = "main", "it is away");
            tracing::warn!(silent = 7, "counted by itself");
        }
        fail("blog");
        clock.advance(Duration::from_secs(10));
        fail("www");
    });
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("it fails origin=\"www\"\n"), 1, "{text}");
    assert_eq!(count("it fails origin=\"blog\"\n"), 1, "{text}");
    assert_eq!(count("it fails origin=\"www\" left_out=4\n"), 1, "{text}");
    for whole in ["it goes on", "it is away", "counted by itself"] {
        assert_eq!(count(whole), 5, "{text}");
    }
}

#[test]
fn what_is_told_apart_is_each_told_and_the_last_left_out_is_told_without_a_next() {
    let text = logged(Form::Text { colour: false }, Path::new(NOWHERE), |clock| {
        for name in ["a", "b", "a", "a"] {
            tracing::warn!(account = "main", domain = name, foreign.who = name, "{name} is off");
            tracing::warn!(foreign.who = name, "{name} knocks");
        }
        clock.advance(Duration::from_secs(10));
        catch_up();
    });
    let told: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("tests: ")).map(|(_, told)| told).collect();
    assert_eq!(
        told,
        [
            r#"a is off account="main" domain="a" foreign.who="a""#,
            r#"a knocks foreign.who="a""#,
            r#"b is off account="main" domain="b" foreign.who="b""#,
            r#"a is off account="main" domain="a" foreign.who="a" left_out=1"#,
            r#"a knocks foreign.who="a" left_out=2"#,
        ]
    );
}

#[test]
fn a_journal_that_takes_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    journal.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    let mut taken = Vec::new();
    let stderr = logged(Form::Journal, &path, |_| {
        for number in 0..5_000 {
            tracing::info!(number, "said");
        }
        while let Ok(length) = journal.recv(&mut buffer) {
            taken.push(String::from_utf8(buffer[..length].to_vec()).expect("text"));
        }
        tracing::info!("after");
        tracing::info!("and on");
    });
    assert_eq!(stderr, "", "stderr leads to the same journal");
    let mut last = || {
        let length = journal.recv(&mut buffer).expect("an entry");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let (after, on) = (last(), last());
    let missing = 5_000 - taken.len();
    assert!(missing > 0, "a socket takes no more than it has room for");
    assert!(after.starts_with(&format!("MESSAGE=after lost={missing}\n")), "{after}");
    assert!(on.starts_with("MESSAGE=and on\n"), "{on}");
}

#[test]
fn colours_are_for_terminals() {
    let text = logged(Form::Text { colour: true }, Path::new(NOWHERE), |_| tell_of_hostile_names());
    assert!(text.contains("\x1b[33m WARN\x1b[0m") && !text.contains("\x1b[2J"), "{text:?}");
}
