use super::*;

fn place(path: &str, at: &str) -> Place {
    let at = RelPath::new(at).expect("valid");
    Place { path: path.into(), at, file_system: 1, device: 1 }
}

fn within(path: &str) -> Spot {
    Spot::Within(RelPath::new(path).expect("valid"))
}

#[test]
fn a_directory_lies_within_a_place_or_above_it_or_elsewhere() {
    let root = place("/srv/www", "");
    assert_eq!(lie(&root, Path::new("/srv/www")), Some(within("")));
    assert_eq!(lie(&root, Path::new("/srv/www/a/b")), Some(within("a/b")));
    assert_eq!(lie(&root, Path::new("/srv/www-old")), None);
    let above = |name: &str, at: &RelPath| Some(Spot::Above { name: name.into(), at: at.clone() });
    assert_eq!(lie(&root, Path::new("/srv")), above("www", &root.at));
    assert_eq!(lie(&root, Path::new("/")), above("srv", &root.at));

    let link = place("/data/media", "site/media");
    assert_eq!(lie(&link, Path::new("/data/media")), Some(within("site/media")));
    assert_eq!(lie(&link, Path::new("/data/media/a")), Some(within("site/media/a")));
    assert_eq!(lie(&link, Path::new("/data")), above("media", &link.at));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut places = Places::default();
    places.replace(vec![place("/srv/www", "")]);
    let spots: Arc<[Spot]> = Arc::from([]);
    for number in 0..80_000_u32 {
        let mut bytes = [0_u8; 24];
        bytes[16..20].copy_from_slice(&number.to_ne_bytes());
        places.remember(Directory(&bytes), &spots);
        assert!(places.remembered() <= REMEMBERED);
    }
    assert!(places.known.len() > 20_000);
}
