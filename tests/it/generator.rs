//! A static site generator that writes every file anew: only changed bytes are refreshed.

use std::fs;
use std::path::Path;

use crate::trees::{Tree, assert_arrived, assert_nothing_more, shell, tree, urls};
use crate::world::World;

const PAGES: usize = 3_000;

fn write(site: &Path, name: &str, text: &str) {
    let path = site.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

fn page(site: &Path, number: usize, text: &str) {
    let text = format!("---\ntitle: Page {number}\ndate: 2026-01-01\n---\n{text}\n");
    write(site, &format!("content/s{}/page{number}.md", number % 30), &text);
}

fn make(world: &World) {
    shell(&world.path("site"), "hugo --quiet --noTimes --destination ../root");
}

/// How many of the files that are the same in both trees were written again.
fn rewritten(root: &Path, before: &[(String, std::time::SystemTime)]) -> usize {
    let time = |name: &str| fs::metadata(root.join(name)).and_then(|seen| seen.modified()).ok();
    before.iter().filter(|(name, modified)| time(name) != Some(*modified)).count()
}

fn times(root: &Path, tree: &Tree) -> Vec<(String, std::time::SystemTime)> {
    let modified = |name: &str| fs::metadata(root.join(name)).and_then(|seen| seen.modified());
    tree.keys().map(|name| (name.clone(), modified(name).expect("its time"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hugo_rewrites_thousands_of_files_of_which_few_changed() {
    let world = World::new().await;
    // One URL a file is what the trees' difference says.
    world.configure("", "directory_urls = \"none\"\nsettle = \"300ms\"");
    let site = world.path("site");
    write(
        &site,
        "config.toml",
        "baseURL = \"https://www.example.com/\"\ntitle = \"A site\"\nuglyURLs = true\n\
         disableKinds = [\"taxonomy\", \"term\", \"RSS\", \"sitemap\"]\n",
    );
    write(
        &site,
        "layouts/_default/single.html",
        "<title>{{ .Title }}</title>{{ if eq .Section \"s7\" }}{{ partial \"note.html\" . }}{{ end }}\
         {{ .Content }}",
    );
    write(&site, "layouts/_default/list.html", "{{ range .Pages }}<p>{{ .Title }}</p>{{ end }}");
    write(&site, "layouts/partials/note.html", "<p>A note</p>");
    for number in 0..PAGES {
        page(&site, number, "As it was.");
    }
    make(&world);
    let _daemon = world.start();
    world.wait_ready();
    let mut seen = 0;
    let mut step = |what: &str, least: usize, most: usize| {
        let before = tree(&world.root());
        let written = times(&world.root(), &before);
        make(&world);
        let expected = urls(&before, &tree(&world.root()));
        println!(
            "measured: hugo, {what}: {} of {} files written, {} with other bytes",
            rewritten(&world.root(), &written),
            before.len(),
            expected.len()
        );
        assert!((least..=most).contains(&expected.len()), "{what}: {}", expected.len());
        if expected.is_empty() {
            assert_nothing_more(&world, &world.path("root"), &mut seen, what);
        } else {
            assert_arrived(&world, &mut seen, &expected, what);
        }
    };
    step("nothing changed", 0, 0);
    page(&site, 1_234, "Another text.");
    step("one page changed", 1, 1);
    write(&site, "layouts/partials/note.html", "<p>Another note</p>");
    step("a shared part changed", PAGES / 30, PAGES / 30);
    page(&site, PAGES, "A new page.");
    step("a page more", 2, 4);
}
