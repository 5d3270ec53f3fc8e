//! What a web server on this machine serves: suggestions, never more.

use std::path::{Path, PathBuf};

/// A root, and the names it is served under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) root: PathBuf,
    pub(super) names: Vec<String>,
}

/// Where Debian's and other packages keep sites.
const DIRECTORIES: [&str; 2] = ["sites-enabled", "conf.d"];

/// Reads the sites of nginx's configuration below `directory`, as far as it can be read.
pub(super) fn sites(directory: &Path) -> Vec<Site> {
    let mut files = vec![directory.join("nginx.conf")];
    for below in DIRECTORIES {
        let entries = std::fs::read_dir(directory.join(below)).into_iter().flatten();
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts.flat_map(|text| parse(&text)).collect()
}

/// Reads `root` and `server_name` of each `server` of one file; of several roots the first counts.
fn parse(text: &str) -> Vec<Site> {
    let mut sites = Vec::new();
    let (mut depth, mut within) = (0_usize, None);
    let (mut root, mut names) = (None, Vec::new());
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.trim_end_matches(';').split_whitespace();
        match words.next() {
            Some("server") if line.ends_with('{') => {
                (within, root, names) = (Some(depth), None, Vec::new());
            }
            Some("root") if root.is_none() => {
                root = words.next().map(|word| PathBuf::from(word.trim_matches(['"', '\''])));
            }
            Some("server_name") => {
                let plain = |name: &&str| name.contains('.') && !name.contains(['*', '~', '$']);
                names.extend(words.filter(plain).map(str::to_owned));
            }
            _ => {}
        }
        depth += line.matches('{').count();
        depth = depth.saturating_sub(line.matches('}').count());
        if within == Some(depth) && line.contains('}') {
            within = None;
            if let Some(root) = root.take().filter(|root| root.is_absolute()) {
                sites.push(Site { root, names: std::mem::take(&mut names) });
            }
        }
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_and_names_of_servers_are_found_and_nothing_else() {
        let text = "http {\n  # server_name no.example.com;\n  server {\n    listen 80;\n    \
                    server_name _ www.example.com *.example.org;\n    root /srv/www; # here\n    \
                    location /x {\n      root /srv/x;\n    }\n  }\n  server {\n    \
                    server_name a.example.com;\n    return 301 https://b;\n  }\n  server {\n    \
                    root html;\n  }\n}\n";
        let site = Site { root: "/srv/www".into(), names: vec!["www.example.com".to_owned()] };
        assert_eq!(parse(text), [site]);
        assert_eq!(parse("server {\nroot /a;\n"), [], "cut off");
        assert_eq!(sites(Path::new("/nonexistent")), []);
    }
}
