//! The limit of inotify watches, in a user namespace that has its own.

use std::fs;
use std::process::Command;

use crate::trees::{assert_arrived, url};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_no_watch_is_left_for_is_polled_named_and_watched_once_there_is_room() {
    let world = World::new().await;
    world.configure("", "watch = \"inotify\"\npoll_every = \"1s\"\nreconcile_every = \"1h\"");
    for number in 0..30 {
        world.write(&format!("d{number:02}/page"), "one");
    }
    let limited = "echo 10 >/proc/sys/user/max_inotify_watches; exec \"$@\"";
    let daemon =
        world.start_under(&["unshare", "--user", "--map-root-user", "sh", "-euc", limited, "sh"]);
    let status = world.wait_ready();
    let origin = &status["origins"]["www"];
    let polled = origin["polled"].as_array().expect("a list");
    assert!(!polled.is_empty(), "{origin}");
    let watches = origin["watches"].as_u64().expect("a number");
    assert!((1..=10).contains(&watches), "{origin}");
    for part in polled {
        let why = part["why"].as_str().unwrap_or_default();
        assert!(why.contains("watch"), "the reason: {part}");
    }
    let advice = origin["advice"].as_str().unwrap_or_default();
    assert!(advice.contains("sysctl -w user.max_inotify_watches="), "{advice}");
    assert!(world.log().contains("user.max_inotify_watches"), "{}", world.log());
    let mut seen = 0;
    // Both what is watched and what is polled, whichever is which, and new directories too.
    let mut expected: Vec<String> = (0..30)
        .map(|number| {
            world.write(&format!("d{number:02}/page"), "two, longer");
            url(&format!("d{number:02}/page"))
        })
        .collect();
    for name in ["d00/deep/page", "d29/deep/page", "fresh/page"] {
        world.write(name, "new");
        expected.push(url(name));
    }
    fs::remove_file(world.root().join("d15/page")).expect("removed");
    expected.sort();
    assert_arrived(&world, &mut seen, &expected, "watched and polled parts");
    let raise = Command::new("nsenter")
        .args(["--target", &daemon.pid().to_string(), "--user", "--preserve-credentials"])
        .args(["sh", "-euc", "echo 1000 >/proc/sys/user/max_inotify_watches"])
        .status()
        .expect("nsenter is installed");
    assert!(raise.success());
    let status = world.wait_status("watches for all", |status| {
        status["origins"]["www"]["polled"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(status["origins"]["www"]["advice"], "", "{status}");
    assert_eq!(status["origins"]["www"]["state"], "watching", "{status}");
    world.write("d20/page", "three");
    assert_arrived(&world, &mut seen, &[url("d20/page")], "what was polled before");
    let wide = world.wait_quiet();
    let watches = wide["origins"]["www"]["watches"].as_u64();
    assert!(watches > Some(30), "{wide}");
}
