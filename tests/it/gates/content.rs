//! Gates that open once every web server serves the bytes of what changed.

use refreshd::domain::change::ChangeKind::{Created, Modified, Removed};
use refreshd::domain::gate::{Opens, Servers};

use super::{SECOND, World, commit_all, repository};

#[tokio::test]
async fn content_opens_once_every_server_serves_what_the_tree_has() {
    let mut world = World::new(2, Opens::Content).await;
    world.write("a.html", "new bytes");
    world.write("b.html", "b");
    world.write("src.md", "no matter");
    let changes = [(Modified, "a.html"), (Created, "b.html"), (Removed, "gone.html")];
    world.deploy(&changes, None).await;
    let [one, two] = [world.webs[0].clone(), world.webs[1].clone()];
    for web in [&one, &two] {
        web.serve("/a.html", "old bytes");
        web.serve("/b.html", "b");
        web.serve("/gone.html", "still there");
    }
    assert_eq!(world.settle().await, Some(SECOND), "the first pause");
    assert_eq!(world.went().await, Vec::<String>::new());
    let facts = world.facts().expect("it waits");
    assert_eq!((facts.deploys, facts.wishes, facts.alarmed), (1, 3, false));
    assert!(facts.why.starts_with("a.html: http://127.0.0.1:"), "{}", facts.why);
    assert!(facts.why.contains("serves other bytes for www.example.com"), "{}", facts.why);
    let all = ["/a.html", "/b.html", "/gone.html"].map(|path| format!("www.example.com{path}"));
    assert_eq!((one.asked(), two.asked()), (all.to_vec(), all.to_vec()));
    // One of two is not enough, and what matched is not asked for again.
    one.serve("/a.html", "new bytes");
    one.answer("/gone.html", 404);
    world.pass(SECOND);
    assert_eq!(world.settle().await, Some(SECOND * 2), "it doubles");
    assert_eq!(one.asked(), ["www.example.com/a.html", "www.example.com/gone.html"]);
    assert_eq!(world.went().await, Vec::<String>::new());
    two.serve("/a.html", "new bytes, and more");
    world.pass(SECOND * 2);
    world.settle().await;
    assert_eq!(one.asked(), Vec::<String>::new());
    assert!(world.why().contains("serves more than its 9 bytes"), "{}", world.why());
    two.serve("/a.html", "new bytes");
    world.pass(SECOND * 4);
    world.settle().await;
    assert!(world.why().contains("gone.html: http://127.0.0.1:"), "{}", world.why());
    assert!(world.why().contains("still serves it"), "{}", world.why());
    two.answer("/gone.html", 410);
    world.pass(SECOND * 8);
    assert_eq!(world.settle().await, None, "nothing waits");
    assert_eq!(world.went().await, ["/a.html", "/b.html", "/gone.html"]);
    assert_eq!(world.facts(), None);
}

#[tokio::test]
async fn content_asks_for_the_bytes_of_now_and_each_deploy_passes_by_itself() {
    let mut world = World::new(1, Opens::Content).await;
    let web = world.webs[0].clone();
    world.write("a.html", "one");
    world.deploy(&[(Modified, "a.html")], None).await;
    world.settle().await;
    world.write("a.html", "two");
    world.write("b.html", "b");
    web.serve("/a.html", "one");
    web.serve("/b.html", "b");
    world.pass(SECOND);
    world.deploy(&[(Modified, "b.html")], None).await;
    assert!(world.settle().await.is_some(), "the older deploy waits");
    assert_eq!(world.went().await, ["/b.html"]);
    web.serve("/a.html", "two");
    world.pass(SECOND * 15);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html"]);
}

#[tokio::test]
async fn content_that_changed_again_is_proven_again() {
    let mut world = World::new(1, Opens::Content).await;
    let web = world.webs[0].clone();
    world.write("a.html", "one");
    world.write("b.html", "b");
    web.serve("/a.html", "one");
    world.deploy(&[(Modified, "a.html"), (Modified, "b.html")], None).await;
    world.settle().await;
    assert!(world.why().starts_with("b.html: "), "{}", world.why());
    // There and back, and the server is in the middle of that.
    web.serve("/a.html", "two");
    web.serve("/b.html", "b");
    world.deploy(&[(Modified, "a.html")], None).await;
    assert!(world.settle().await.is_some());
    assert!(world.why().starts_with("a.html: "), "{}", world.why());
    assert_eq!(world.went().await, Vec::<String>::new());
    web.serve("/a.html", "one");
    world.pass(SECOND * 15);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html", "/b.html", "/a.html"]);
}

#[tokio::test]
async fn content_of_a_repository_is_that_of_the_last_commit() {
    let mut world = World::new(1, Opens::Content).await;
    let folder = repository(&mut world);
    std::fs::write(folder.join("site/a.html"), "new").expect("written");
    std::os::unix::fs::symlink("a.html", folder.join("site/link.html")).expect("made");
    let tip = commit_all(&folder);
    let changes = [(Modified, "a.html"), (Removed, "gone.html"), (Created, "link.html")];
    world.deploy_to(&changes, tip.clone(), tip).await;
    let web = world.webs[0].clone();
    web.serve("/a.html", "old");
    web.serve("/gone.html", "still");
    world.settle().await;
    assert!(world.why().starts_with("a.html: "), "{}", world.why());
    let asked = ["www.example.com/a.html", "www.example.com/gone.html"];
    assert_eq!(web.asked(), asked, "what a link leads to is the checkout's affair");
    web.serve("/a.html", "new");
    web.answer("/gone.html", 403);
    world.pass(SECOND);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html", "/gone.html", "/link.html"]);
}

#[tokio::test]
async fn content_asks_for_nothing_that_is_not_served_as_itself() {
    let mut world = World::new(1, Opens::Content).await;
    std::fs::create_dir(world.path("src")).expect("made");
    world.write("src/page.md", "text");
    world.deploy(&[(Modified, "src/page.md")], None).await;
    assert_eq!(world.settle().await, None);
    assert_eq!(world.webs[0].asked(), Vec::<String>::new());
    assert_eq!(world.went().await, ["/page.html"]);
}

#[tokio::test]
async fn a_tree_that_is_gone_proves_nothing() {
    let mut world = World::new(1, Opens::Content).await;
    world.write("b.html", "b");
    world.deploy(&[(Removed, "a.html")], None).await;
    let root = world.path("");
    std::fs::rename(&root, world.folder.path().join("aside")).expect("moved");
    world.settle().await;
    assert!(world.why().starts_with("a.html: "), "{}", world.why());
    assert_eq!(world.went().await, Vec::<String>::new());
    // What is not mounted is an empty directory, of which the servers serve as little.
    std::fs::create_dir(&root).expect("made");
    world.pass(SECOND);
    world.settle().await;
    assert!(world.why().starts_with("a.html: the root is empty"), "{}", world.why());
    assert_eq!(world.went().await, Vec::<String>::new());
    std::fs::remove_dir(&root).expect("removed");
    std::fs::rename(world.folder.path().join("aside"), root).expect("moved");
    world.pass(SECOND * 2);
    assert_eq!(world.settle().await, None);
    assert_eq!(world.went().await, ["/a.html"]);
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_not_asked_for_everything() {
    let mut world = World::new(1, Opens::Content).await;
    let names: Vec<String> = (0..200).map(|number| format!("page{number}.html")).collect();
    for name in &names {
        world.write(name, name);
    }
    let changes: Vec<_> = names.iter().map(|name| (Modified, name.as_str())).collect();
    world.deploy(&changes, None).await;
    world.settle().await;
    let web = world.webs[0].clone();
    let asked = web.asked().len();
    assert!((16..16 + 8).contains(&asked), "those under way are waited for: {asked}");
    assert!(world.why().contains("answers for www.example.com with status 404"), "{}", world.why());
    for name in &names {
        web.serve(&format!("/{name}"), name);
    }
    world.pass(SECOND);
    assert_eq!(world.settle().await, None);
    assert_eq!((web.asked().len(), world.went().await.len()), (200, 200));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named() {
    let servers = |servers: Servers| {
        let mut servers = servers;
        servers.urls = vec!["http://127.0.0.1:9".parse().expect("a URL")];
        Opens::Content(servers)
    };
    let mut world = World::new(0, servers).await;
    world.write("a.html", "one");
    world.deploy(&[(Modified, "a.html")], None).await;
    world.settle().await;
    let why = world.why();
    assert!(
        why.starts_with("a.html: http://127.0.0.1:9 does not answer for www.example.com"),
        "{why}"
    );
}

#[tokio::test]
async fn a_commit_that_the_repository_lacks_is_not_proven_by_the_one_before() {
    for opens in [Opens::Content, super::version] {
        let mut world = World::new(1, opens).await;
        let folder = repository(&mut world);
        std::fs::write(folder.join("site/a.html"), "old").expect("written");
        let tip = commit_all(&folder);
        let web = world.webs[0].clone();
        web.serve("/a.html", "old");
        web.serve("/version.txt", tip.as_ref().expect("a commit").as_str());
        world.deploy_to(&[(Modified, "b.html")], None, tip.clone()).await;
        world.settle().await;
        assert_eq!(world.went().await, ["/b.html"]);
        // Told by its sender's list; the clone is fetched by somebody else, later.
        let elsewhere = world.path("elsewhere");
        super::git(&world.path(""), &["clone", "-q", "repository", "elsewhere"]);
        std::fs::write(elsewhere.join("site/a.html"), "new").expect("written");
        let next = commit_all(&elsewhere);
        world.deploy(&[(Modified, "a.html")], next.clone()).await;
        world.settle().await;
        assert_eq!(world.went().await, Vec::<String>::new(), "{}", world.why());
        // It has the commit, and what it changed is not recorded yet.
        super::git(&folder, &["pull", "-q", "../elsewhere"]);
        world.pass(SECOND * 15);
        world.settle().await;
        assert_eq!(world.went().await, Vec::<String>::new(), "{}", world.why());
        world.deploy_to(&[(Modified, "a.html")], next.clone(), next.clone()).await;
        world.settle().await;
        assert_eq!(world.went().await, Vec::<String>::new(), "{}", world.why());
        web.serve("/a.html", "new");
        web.serve("/version.txt", next.as_ref().expect("a commit").short());
        world.pass(SECOND * 15);
        assert_eq!(world.settle().await, None, "{}", world.why());
        assert_eq!(world.went().await, ["/a.html", "/a.html"]);
    }
}
