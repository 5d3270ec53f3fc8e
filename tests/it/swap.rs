//! The atomic swap of symbolic links, at any level of the root's path, while the daemon runs: two
//! trees are compared, and from then on the new one is watched and the old one is not.

use std::fs;

use crate::trees::{assert_arrived, assert_nothing_more, shell, tree, url, urls};
use crate::world::World;

const BY_LN: &str = "ln -sfn releases/NEW LINK";
const BY_RENAME: &str = "ln -s releases/NEW LINK.new && mv -T LINK.new LINK";

/// Swaps from release 1 to 2 and to 3 and back to 1. `site/current` leads to a release; `root`, below
/// `site`, is what the daemon is told of.
async fn swap(root: &str, prepare: &str, below: &str, watch: &str) {
    let world = World::new().await;
    let site = world.path("site");
    let at = site.join(root);
    let origin = format!("root = \"{}\"\nwatch = \"{watch}\"\nsettle = \"200ms\"", at.display());
    world.configure("", &origin);
    fs::create_dir_all(site.join("releases/1").join(below)).expect("made");
    for number in 0..40 {
        let name =
            site.join("releases/1").join(below).join(format!("d{}/page{number}", number % 4));
        fs::create_dir_all(name.parent().expect("a parent")).expect("made");
        fs::write(name, format!("page {number}")).expect("written");
    }
    shell(&site, "ln -s releases/1 current");
    shell(&site, prepare);
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let ways = [("1", "2", BY_LN), ("2", "3", BY_RENAME), ("3", "1", BY_LN)];
    for (old, new, way) in ways {
        let release = |number: &str| site.join("releases").join(number).join(below);
        if new != "1" {
            shell(&site, &format!("cp -r releases/{old} releases/{new}"));
            shell(
                &release(new),
                &format!(
                    "echo {new} >d1/page1; echo {new} >d2/page2; rm d3/page$(({new} * 4 - 5)); \
                     mkdir fresh{new}; echo new >fresh{new}/page"
                ),
            );
        }
        let before = tree(&at);
        shell(&site, &way.replace("NEW", new).replace("LINK", "current"));
        let expected = urls(&before, &tree(&at));
        assert!(!expected.is_empty());
        assert_arrived(&world, &mut seen, &expected, &format!("{old} to {new}: {way}"));
        fs::write(release(old).join("d1/page1"), "nobody serves this").expect("written");
        fs::write(release(old).join("d1/page99"), "nor this").expect("written");
        assert_nothing_more(&world, &at, &mut seen, "a write into the old tree");
        fs::write(release(new).join("d2/page2"), format!("after the swap to {new}"))
            .expect("written");
        assert_arrived(&world, &mut seen, &[url("d2/page2")], "a write into the new tree");
        // Back to what it was, lest the next comparison be about these.
        shell(&release(old), &format!("rm d1/page99; echo {old} >d1/page1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_root_itself() {
    swap("current", "true", "", "auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_root_itself_with_inotify() {
    swap("current", "true", "", "inotify").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_the_roots_path() {
    swap("current/public", "true", "public", "auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_the_roots_path_with_inotify() {
    swap("current/public", "true", "public", "inotify").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_another_link() {
    swap("live", "ln -s current/public live", "public", "auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_another_link_with_inotify() {
    swap("live", "ln -s current/public live", "public", "inotify").await;
}
