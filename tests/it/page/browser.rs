//! The page in a real browser.

use std::process::Command;

use refreshd::sandbox::Options;

use super::{TOKEN, configure, door};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_each_change_live_and_only_a_token_decides() {
    let python = std::env::var("REFRESHD_TEST_PYTHON").expect(
        "REFRESHD_TEST_PYTHON must name a Python that has tests/requirements-page.txt installed; \
         ./tests/run makes one and sets it",
    );
    // Tasks take six seconds: long enough to be seen on their way.
    let options = Options { time_scale: 50, ..Options::new("http://127.0.0.1:9") };
    let world = World::with(options).await;
    configure(&world, "", "[origin.www.hold]\nleast_files = 4\nremoved_percent = 20");
    for number in 0..10 {
        world.write(&format!("shop/item-{number}.html"), "one");
    }
    world.write("index.html", "one");
    let _daemon = world.start();
    world.wait_ready();
    let drive = Command::new(&python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/drive.py"))
        .arg(format!("http://{}/", door(&world)))
        .arg(TOKEN)
        .arg(world.root())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots"))
        .output()
        .expect("Python starts");
    assert!(
        drive.status.success(),
        "{}{}{}",
        String::from_utf8_lossy(&drive.stdout),
        String::from_utf8_lossy(&drive.stderr),
        world.log()
    );
    assert!(world.targets().iter().any(|target| target.ends_with("/shop/item-0.html")), "approved");
}
