//! Mutated configurations: each is put in force or refused, and the daemon lives.

use super::reload;
use crate::world::{World, wait_for};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

/// Lines that change something that is allowed.
const LINES: [&str; 8] = [
    "settle = \"70ms\"",
    "clean_urls = [\".html\"]",
    "exclude = [\"tmp/\"]",
    "watch = \"poll\"",
    "poll_every = \"1s\"",
    "immutable = [\"*.css\"]",
    "[account.main.quota]",
    "url = 9",
];

fn mutated(good: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(2) {
        let at = dice.below(lines.len());
        match dice.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => lines.push(LINES[dice.below(LINES.len())].to_owned()),
            3 => lines.insert(at, LINES[dice.below(LINES.len())].to_owned()),
            4 => {
                let other = dice.below(lines.len());
                lines.swap(at, other);
            }
            _ => {
                let byte = b"0\"=[]x./#\\"[dice.below(10)];
                let place = dice.below(lines[at].len());
                let mut bytes = lines[at].clone().into_bytes();
                if let Some(old) = bytes.get_mut(place) {
                    *old = byte;
                }
                lines[at] = String::from_utf8(bytes).expect("plain text");
            }
        }
    }
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_configurations_are_put_in_force_or_refused_and_the_daemon_lives() {
    let world = World::new().await;
    world.write("index.html", "one");
    let daemon = world.start();
    world.wait_ready();
    let good = std::fs::read_to_string(world.config()).expect("it is read");
    let (mut applied, mut refused, mut dice) = (0, 0, Dice(42));
    for number in 0..200 {
        let text = mutated(&good, &mut dice);
        std::fs::write(world.config(), &text).expect("written");
        match reload(&world) {
            (Some(0), _) => applied += 1,
            // A daemon whose `state_dir` is unreadable in the file can't be found: it isn't asked.
            (Some(69), said) => {
                assert!(!text.contains("\nstate_dir") || said.contains("no daemon"), "{said}");
            }
            (Some(1 | 74 | 77 | 78), _) => refused += 1,
            (code, said) => panic!("{number}: {code:?} {said}\n{text}"),
        }
    }
    assert!(applied >= 10 && refused >= 50, "{applied} applied, {refused} refused");
    std::fs::write(world.config(), &good).expect("written");
    let (code, said) = reload(&world);
    assert_eq!(code, Some(0), "{said}");
    let status = world.wait_ready();
    assert_eq!(status["pid"], daemon.pid(), "it never ended");
    world.write("last.html", "one");
    let last = "https://www.example.com/last.html".to_owned();
    wait_for("a change", || world.targets().contains(&last).then_some(())).expect("accepted");
    assert_eq!(daemon.terminate(), Some(0));
}
