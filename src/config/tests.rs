//! What is accepted, what is refused, and how a refusal looks.

use super::*;
use crate::domain::credentials::{Ecs, KeyFiles, Place, Role};

pub(super) const MINIMAL: &str = r#"
state_dir = "/var/lib/refreshd"
[account.main]
endpoint = "https://cdn.aliyuncs.com"
access_key_id_file = "/etc/refreshd/credentials/access_key_id"
access_key_secret_file = "/etc/refreshd/credentials/access_key_secret"
[origin.www]
root = "/srv/www"
domains = ["https://www.example.com"]
"#;

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("refreshd.toml"), None)
}

pub(super) fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

/// The messages of a text that must be refused.
fn messages(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("must be refused");
    problems.rows().into_iter().map(|row| row.message).collect()
}

/// The minimal text with `old` replaced by `new`.
pub(super) fn with(old: &str, new: &str) -> String {
    assert!(MINIMAL.contains(old), "{old}");
    MINIMAL.replace(old, new)
}

/// The minimal text with lines added to its account and origin.
pub(super) fn adding(account: &str, origin: &str) -> String {
    with("[origin.www]", &format!("{account}\n[origin.www]\n{origin}"))
}

/// The example with its commented keys made effective.
pub(super) fn example_in_full() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', ':']) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_minimal_configuration_has_every_default() {
    let config = config(MINIMAL);
    let account = &config.accounts[&AccountName::from("main")];
    let origin = &config.origins[&OriginName::from("www")];
    assert_eq!(config.log, Log::default());
    assert_eq!(account.batch, 100);
    assert_eq!(account.poll_first, Duration::from_secs(300));
    assert_eq!(account.poll_gap, Duration::from_secs(10));
    assert_eq!(account.poll_max, Duration::from_secs(600));
    assert_eq!(account.doubt_gap, Duration::from_secs(60));
    let quota: Vec<u64> = account.quota.iter().map(|(_, allowed)| *allowed).collect();
    assert_eq!(quota, [10_000, 100, 20, 100, 100, 1_000]);
    assert_eq!(account.rules, Rules { reserve: 5, ..Rules::default() });
    assert_eq!(origin.account, account.name);
    assert_eq!(origin.mapping.spec().index, ["index.html"]);
    assert!(origin.mapping.spec().exclude_defaults);
    assert_eq!(origin.settle, Duration::from_secs(1));
    assert_eq!(origin.delete_settle, Duration::from_secs(30));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let path = Path::new("refreshd.toml");
    let (_, findings) = read::config(&example_in_full(), path, None);
    assert_eq!(findings.problems, []);
    let document: toml::Table = toml::from_str(&example_in_full()).expect("valid TOML");
    assert_eq!(keys_of(&document), findings.asked);
    // `control_socket` has no fixed default: it follows from where the daemon runs.
    let mut full = config(&example_in_full());
    assert!(full.control_socket.take().is_some());
    // What only some accounts have.
    assert!(full.accounts.remove(&AccountName::from("other")).is_some());
    let other = full.origins.remove(&OriginName::from("other")).expect("a repository");
    assert!(other.repository().is_some_and(|repository| repository.fetch_from.is_some()));
    assert!(full.hooks.socket.take().is_some());
    assert_eq!(full.hooks.users.pop().as_deref(), Some("git"));
    assert!(full.hooks.trusted_proxies.pop().is_some());
    let senders = std::mem::take(&mut full.senders);
    let providers: Vec<_> = senders.values().map(|hook| hook.provider.as_str()).collect();
    assert_eq!(providers, ["github", "generic"]);
    for account in full.accounts.values_mut() {
        let Place::Files(files) = &mut account.credentials.place else { continue };
        assert!(files.security_token.take().is_some());
    }
    assert_eq!(full, config(MINIMAL));
    assert_eq!(config(EXAMPLE), config(MINIMAL), "commented keys must be at their defaults");
}

#[test]
fn a_key_missing_from_the_example_is_noticed() {
    let (_, findings) = read::config(&example_in_full(), Path::new("x"), None);
    let shorter = example_in_full().replace("\nbatch = ", "\n#batch = ");
    let document: toml::Table = toml::from_str(&shorter).expect("valid TOML");
    let missing: Vec<_> = findings.asked.difference(&keys_of(&document)).cloned().collect();
    assert_eq!(missing, ["account.*.batch"]);
}

/// The rules that the example shows are indented, for they are no defaults.
#[test]
fn the_rules_in_the_example_are_good() {
    let rules = EXAMPLE.lines().filter_map(|line| line.strip_prefix("#     "));
    let rules: Vec<_> = rules.collect();
    let text = format!("{MINIMAL}\n{}", rules.join("\n"));
    let origin = &config(&text).origins[&OriginName::from("www")];
    let spec = origin.mapping.spec();
    assert_eq!((spec.rewrites.len(), spec.queries.len()), (3, 2));
    assert!(spec.rewrites[0].only && spec.queries[1].ignore_params);
    assert_eq!(origin.prefetch.headers["Accept-Encoding"], ["gzip", "br"]);
}

#[test]
fn slips_in_rules_are_shown_where_they_are() {
    let rules = r#"
clean_urls = ["html"]
[[origin.www.rewrite]]
from = "content/posts/*.md"
to = ["/posts/{2}/"]
[[origin.www.rewrite]]
from = "*.md"
onyl = true
[[origin.www.query]]
paths = ["*.css"]
"#;
    let problems = parse(&format!("{MINIMAL}{rules}")).expect_err("must be refused");
    insta::assert_snapshot!(problems.render(false));
    let scalar = with("[origin.www]", "[origin.www]\nrewrite = \"a\"\nquery = [1]");
    assert_eq!(messages(&scalar), ["`rewrite` is a list of tables", "`query` is a list of tables"]);
}

/// The keys of a document as `Findings::asked` writes them.
fn keys_of(document: &toml::Table) -> std::collections::BTreeSet<String> {
    let mut keys = std::collections::BTreeSet::new();
    gather(document, "", &mut keys);
    keys
}

fn gather(table: &toml::Table, prefix: &str, keys: &mut std::collections::BTreeSet<String>) {
    for (key, value) in table {
        let named = matches!(prefix, "account." | "origin." | "hook.");
        let name = format!("{prefix}{}", if named { "*" } else { key });
        if let Some(table) = value.as_table() {
            gather(table, &format!("{name}."), keys);
        }
        if !named {
            keys.insert(name);
        }
    }
}

#[test]
fn a_credentials_directory_is_filled_in_where_it_is_known() {
    let text = with("/etc/refreshd/credentials/access_key_id\"", "%d/access_key_id\"");
    let text = text.replace(
        "/etc/refreshd/credentials/access_key_secret\"",
        "${CREDENTIALS_DIRECTORY}/access_key_secret\"",
    );
    let directory = Path::new("/run/credentials/refreshd.service");
    let known = Config::parse(&text, Path::new("x"), Some(directory)).expect("valid");
    let account = &known.accounts[&AccountName::from("main")];
    let files = |id: PathBuf, secret: PathBuf| {
        KeySource::at(Place::Files(KeyFiles { key_id: id, secret, security_token: None }))
    };
    let [id, secret] = ["access_key_id", "access_key_secret"].map(|name| directory.join(name));
    assert_eq!(account.credentials, files(id, secret));
    let unknown = config(&text);
    let account = &unknown.accounts[&AccountName::from("main")];
    let [id, secret] =
        ["%d/access_key_id", "${CREDENTIALS_DIRECTORY}/access_key_secret"].map(PathBuf::from);
    assert_eq!(account.credentials, files(id, secret));
}

/// Asserts of each text that it is refused for one reason.
fn refused(rows: &[(String, &str)]) {
    for (text, message) in rows {
        assert_eq!(messages(text), [*message], "{text}");
    }
}

/// Texts, each with the one reason for which it is refused.
pub(super) fn slips_in_paths() -> Vec<(String, &'static str)> {
    let rows = [
        (with("\"/srv/www\"", "\"%d/www\""), "`root` can't be `%d/www`: the path is relative"),
        (
            with("\"/var/lib/refreshd\"", "\"~/x\""),
            "`state_dir` can't be `~/x`: `~` means nothing here",
        ),
        (with("\"/var/lib/refreshd\"", "\"x\""), "`state_dir` can't be `x`: the path is relative"),
        (
            with("\"/var/lib/refreshd\"", "\"/srv/www/.state\""),
            "`state_dir` lies below the root of origin `www`",
        ),
        (
            with("access_key_secret\"", "access_key_id\""),
            "`access_key_id_file` and `access_key_secret_file` name the same file",
        ),
        (
            format!("control_socket = \"/{}\"\n{MINIMAL}", "x".repeat(107)),
            "`control_socket` is 108 bytes long",
        ),
        (
            with("\"/srv/www\"", "\"/srv/../www\""),
            "`root` can't be `/srv/../www`: it goes up with `..`",
        ),
        (
            with("https://cdn", "http://cdn"),
            "`endpoint` can't be `http://cdn.aliyuncs.com`: plain http is for this machine \
             only: use https",
        ),
        (
            with("aliyuncs.com", "aliyuncs.com/v1"),
            "`endpoint` can't be `https://cdn.aliyuncs.com/v1`: it must be a scheme and a host alone",
        ),
        (
            with("cdn.aliyuncs.com", "cdn.aliyuncs.com.evil.example"),
            "`endpoint` can't be `https://cdn.aliyuncs.com.evil.example`: it is no host below \
             aliyuncs.com, and would be asked with your access key",
        ),
        (
            with("https://cdn.aliyuncs.com\"", "https://a:secret@b.example\""),
            "`endpoint` can't be `https://b.example`: it must be a scheme and a host alone",
        ),
        (
            with("aliyuncs.com\"", "aliyuncs.com\"\nendpoint_is_trusted = \"b.example\""),
            "`endpoint` can't be `https://cdn.aliyuncs.com`: `endpoint_is_trusted` names another host",
        ),
        (
            with("aliyuncs.com\"", "aliyuncs.com\"\nproxy = \"http://u:secret@b.example\""),
            "`proxy` holds a user or password, which would be read here",
        ),
        (
            with("aliyuncs.com\"", "aliyuncs.com\"\nproxy = \"socks5://b.example\""),
            "`proxy` must be http, a host and a port alone",
        ),
        (with("[account.main]", "[account.Main]"), "`Main` can't be the name of an account"),
        (
            with("[\"https://www", "[\"https://*"),
            "`domains`: `*.example.com` is a wildcard: the CDN refreshes concrete host names only, so \
             name each one",
        ),
        (
            with("www.example.com", "www.example.com:8443"),
            "`domains`: the CDN serves the scheme's own port only: remove `:8443`",
        ),
        (
            with("www.example.com", "www.example.com/?q"),
            "`domains`: a base URL takes no query: remove `?` and what follows it",
        ),
        (
            with("[\"https://www", "[\"www"),
            "`domains`: `www.example.com` has no scheme: write `https://www.example.com`",
        ),
        (
            with("[\"https://www.example.com\"]", "[]"),
            "`domains`: no domain is named: write at least one, such as `https://www.example.com`",
        ),
        (
            with("[\"https://www.example.com\"]", "[\"https://a.example\", \"http://A.example/\"]"),
            "`domains`: `http://A.example/` is named twice: http and https share a cache entry",
        ),
        (
            with("[\"https://www.example.com\"]", "\"https://a.example\""),
            "`domains` is a list, not a text",
        ),
    ];
    rows.into()
}

#[test]
fn each_slip_in_a_path_or_address_is_named() {
    refused(&slips_in_paths());
}

/// Texts, each with the one reason for which it is refused.
pub(super) fn slips_in_values() -> Vec<(String, &'static str)> {
    let rows = [
        (
            adding("poll_first = 180", ""),
            "`poll_first` is a duration in quotes, not a whole number",
        ),
        (
            adding("poll_first = \"3 min\"", ""),
            "`poll_first` is a duration, and \"3 min\" has no unit after `3`",
        ),
        (
            adding("poll_first = \"11m\"\npoll_max = \"10m\"", ""),
            "`poll_first` (11m) is longer than `poll_max` (10m)",
        ),
        (adding("batch = 1001", ""), "`batch` can't be 1001"),
        (adding("batch = \"100\"", ""), "`batch` is a whole number, not a text"),
        (adding("doubt_gap = \"5s\"", ""), "`doubt_gap` is shorter than 60 s"),
        (adding("quota = 5", ""), "`quota` is a table, not a whole number"),
        (adding("[account.main.quota]\nurl = -1", ""), "`url` can't be -1"),
        (adding("[account.main.quota]\nreserve = 101", ""), "`reserve` can't be 101"),
        (adding("[account.main.limits]\nrefresh_calls = 0", ""), "`refresh_calls` can't be 0"),
        (adding("[account.main.limits]\nurl_bytes = 8193", ""), "`url_bytes` can't be 8193"),
        (
            adding("", "account = \"man\""),
            "`account` names \"man\", and there is no `[account.man]`",
        ),
        (
            adding("", "exclude = [\"a[\"]"),
            "`exclude`: `a[` is not a glob: unclosed character class; missing ']'",
        ),
        (
            adding("", "exclude = [\"/srv/www/drafts/**\"]"),
            "`exclude`: `/srv/www/drafts/**` begins with the root",
        ),
        (
            adding("", "index = [\"a/b\"]"),
            "`index`: `a/b` is not a file name: write one such as `index.html`",
        ),
        (adding("", "directory_urls = \"booth\""), "`directory_urls` can't be \"booth\""),
        (
            adding("", "exclude_defaults = \"no\""),
            "`exclude_defaults` is true or false, not a text",
        ),
        (adding("", "settle = \"0s\""), "`settle` can't be \"0s\""),
        (adding("[log]\nlevel = \"inof\"", ""), "`level` can't be \"inof\""),
    ];
    rows.into()
}

#[test]
fn each_slip_in_a_value_is_named() {
    refused(&slips_in_values());
}

#[test]
fn what_the_cdn_takes_can_be_set_and_holds_for_the_urls_of_its_origins() {
    let text = adding("[account.main.limits]\nurl_bytes = 2048\ntasks_calls = 10", "");
    let config = config(&text);
    let limits = config.accounts[&AccountName::from("main")].limits;
    assert_eq!(limits, Limits { url_bytes: 2_048, tasks_calls: 10, ..Limits::DOCUMENTED });
    assert_eq!(config.origins[&OriginName::from("www")].mapping.spec().url_bytes, 2_048);
}

#[test]
fn what_is_wrong_with_a_mapping_is_said_beside_other_problems() {
    let text = adding("batch = 0", "exclude = [\"!keep\", \"\"]").replace("root =", "rot =");
    let said = messages(&text);
    let begin = ["`batch` can't be 0", "`[origin.www]` lacks `root`", "`exclude`: `!keep`:"];
    assert!(begin.iter().all(|begin| said.iter().any(|line| line.starts_with(begin))), "{said:#?}");
    assert_eq!(messages(&with("[\"https://www.example.com\"]", "[5]")).len(), 1);
}

#[test]
fn what_is_missing_is_named_with_its_place() {
    assert_eq!(
        messages(""),
        ["the file lacks `state_dir`", "the file names no account", "the file names no origin"]
    );
    let bare = "state_dir = \"/s\"\n[account.a]\n[origin.o]\n";
    let problems = parse(bare).expect_err("must be refused");
    let rows: Vec<_> = problems.rows().into_iter().map(|row| (row.line, row.message)).collect();
    let lacks = |line, message: &str| (Some(line), message.to_owned());
    assert_eq!(
        rows,
        [
            lacks(2, "`[account.a]` lacks `endpoint`"),
            lacks(3, "`[origin.o]` lacks `root`"),
            lacks(3, "`[origin.o]` lacks `domains`"),
        ]
    );
}

const FILES: &str = "access_key_id_file = \"/etc/refreshd/credentials/access_key_id\"\n\
    access_key_secret_file = \"/etc/refreshd/credentials/access_key_secret\"\n";

/// Reads where the key comes from, of an account with these lines for its key files.
fn source(lines: &str) -> KeySource {
    config(&with(FILES, &format!("{lines}\n"))).accounts[&AccountName::from("main")]
        .credentials
        .clone()
}

#[test]
fn the_key_comes_from_files_or_as_said_else_from_the_chain() {
    let chain = Place::Chain { profile: None, ecs: Ecs::default(), uri: None };
    assert_eq!(source(""), KeySource::at(chain.clone()));
    let table = "[account.main.credentials]\n";
    assert_eq!(source(table), KeySource::at(chain));
    assert!(matches!(source(&format!("{FILES}{table}")).place, Place::Files(_)));
    for (from, place) in [
        ("environment", Place::Environment),
        ("cli", Place::Cli { profile: None }),
        ("ini", Place::Ini { profile: None }),
        ("oidc", Place::Oidc),
        ("ecs", Place::Ecs(Ecs::default())),
        ("uri", Place::Uri(None)),
    ] {
        assert_eq!(source(&format!("{table}from = \"{from}\"")), KeySource::at(place));
    }
    let role = source(&format!("{table}role_arn = \"acs:ram::1:role/r\"\nduration = \"2h\"")).role;
    let expected = Role {
        arn: "acs:ram::1:role/r".to_owned(),
        session_name: None,
        external_id: None,
        policy: None,
        duration: Duration::from_secs(7200),
    };
    assert_eq!(role, Some(expected));
}

/// Texts, each with the one reason for which it is refused.
pub(super) fn contradictions() -> Vec<(String, &'static str)> {
    let table = |lines: &str| with(FILES, &format!("[account.main.credentials]\n{lines}\n"));
    let rows = [
        (
            with(FILES, "access_key_id_file = \"/i\"\n"),
            "`[account.main]` lacks `access_key_secret_file`",
        ),
        (
            adding("[account.main.credentials]\nfrom = \"ecs\"", ""),
            "the key files are named, and `from` says that the key is elsewhere",
        ),
        (table("from = \"files\""), "`[account.main]` lacks `access_key_id_file`"),
        (table("from = \"magic\""), "`from` can't be \"magic\""),
        (table("from = \"ecs\"\nprofile = \"p\""), "`profile` means nothing here"),
        (table("from = \"cli\"\nrole_name = \"r\""), "`role_name` means nothing here"),
        (table("from = \"cli\"\nimds_v1 = false"), "`imds_v1` means nothing here"),
        (table("from = \"ecs\"\nuri = \"http://a/\""), "`uri` means nothing here"),
        (
            table("uri = \"ftp://a/\""),
            "`uri` is no address of a service, or holds a user or password",
        ),
        (table("external_id = \"e\""), "`external_id` means nothing here"),
        (table("policy = \"{}\""), "`policy` means nothing here"),
        (
            table("from = \"ecs\"\nsts_endpoint = \"https://sts.aliyuncs.com\""),
            "`sts_endpoint` means nothing here",
        ),
        (
            table("sts_endpoint = \"http://sts.aliyuncs.com\""),
            "`sts_endpoint` can't be `http://sts.aliyuncs.com`: plain http is for this machine \
             only: use https",
        ),
        (
            table("sts_endpoint = \"https://u:secret@sts.example.com\""),
            "`sts_endpoint` can't be `https://sts.example.com`: it must be a scheme and a host alone",
        ),
        (
            table("sts_endpoint = \"https://sts.example.com\""),
            "`sts_endpoint` can't be `https://sts.example.com`: it is no host below aliyuncs.com, \
             and would be asked with your access key",
        ),
        (table("role_arn = \"r\""), "`role_arn` can't be `r`: that is no role"),
        (
            table("role_arn = \"acs:ram::1:role/r\"\nduration = \"1m\""),
            "`duration` can't be \"1m\"",
        ),
    ];
    rows.into()
}

#[test]
fn contradictions_about_the_key_are_named() {
    refused(&contradictions());
}

#[test]
fn with_two_accounts_an_origin_says_whose_it_is() {
    let second = "[account.other]\nendpoint = \"http://127.0.0.1:1\"\n\
        doubt_gap = \"1s\"\naccess_key_id_file = \"/i\"\naccess_key_secret_file = \"/s\"\n";
    assert_eq!(messages(&adding(second, "")), ["`[origin.www]` lacks `account`"]);
    let config = config(&adding(second, "account = \"other\""));
    assert_eq!(config.origins[&OriginName::from("www")].account.as_str(), "other");
}

#[test]
fn a_host_is_prefetched_in_one_way() {
    let other = |options: &str| {
        let origin = "[origin.other]\nroot = \"/srv/other\"\n\
            domains = [\"https://www.example.com/other/\"]\n";
        format!("{MINIMAL}\n{origin}{options}")
    };
    let options = "prefetch_area = \"overseas\"\nprefetch_l2 = true\nprefetch_query_hashkey = true\n\
        prefetch_consistency_hash = true\nprefetch_headers = { Accept-Encoding = [\" \"] }\n";
    let message = "`[origin.other]` and `[origin.www]` both serve www.example.com and have it \
        prefetched in different ways";
    assert_eq!(messages(&other(options)), [message]);
    let same = other(options).replace("[origin.www]\n", &format!("[origin.www]\n{options}"));
    let config = config(&same);
    let options = config.prefetching(&"main".into()).of("www.example.com");
    let origin = &config.origins[&OriginName::from("www")];
    assert_eq!((origin.prefetch.parameters().len(), &origin.prefetch), (5, &options));
}

/// Texts, each with the one reason for which it is refused.
pub(super) fn slips_in_prefetches() -> Vec<(String, &'static str)> {
    let with = |options: &str| with("[origin.www]", &format!("[origin.www]\n{options}"));
    let long = format!("prefetch_headers = {{ X = [\"{}\"] }}", "a".repeat(980));
    vec![
        (with("prefetch_area = \"china\""), "`prefetch_area` can't be \"china\""),
        (
            with("prefetch_headers = 3"),
            "`prefetch_headers` is a table of headers, not a whole number",
        ),
        (
            with("prefetch_headers = { \"a b\" = [\"c\"] }"),
            "`prefetch_headers` can't have \"a b\": that is no name of a header",
        ),
        (
            with("prefetch_headers = { a = \"b\" }"),
            "`prefetch_headers` needs a list of values for a",
        ),
        (with("prefetch_headers = { a = [] }"), "`prefetch_headers` needs a list of values for a"),
        (
            with("prefetch_headers = { a = [\"\"] }"),
            "`prefetch_headers` has a value of a that is not a text of plain characters",
        ),
        (
            with("prefetch_headers = { a = [\"\\n\"] }"),
            "`prefetch_headers` has a value of a that is not a text of plain characters",
        ),
        (
            with(&long),
            "the options of a prefetch take 1020 bytes of a query, and 1000 are for them",
        ),
    ]
}

#[test]
fn each_slip_in_the_options_of_a_prefetch_is_named() {
    refused(&slips_in_prefetches());
}

#[test]
fn one_tree_is_not_asked_for_twice() {
    let second = "[origin.again]\nroot = \"/srv/www/\"\ndomains = [\"http://www.example.com\"]\n";
    assert_eq!(
        messages(&adding(second, "")),
        ["origins `again` and `www` have the same tree and both serve https://www.example.com/"]
    );
    let other = second.replace("www.example", "img.example");
    assert_eq!(config(&adding(&other, "")).origins.len(), 2);
}

#[test]
fn an_unreadable_file_is_a_problem_too() {
    let problems = Config::load(Path::new("/nonexistent/refreshd.toml")).expect_err("no file");
    let text = problems.to_string();
    assert!(text.contains("/nonexistent/refreshd.toml"), "{text}");
    assert_eq!(problems.rows()[0].line, None);
    assert!(problems.render(false).contains("can't be read"));
}

#[test]
fn colour_is_for_terminals() {
    let problems = parse("").expect_err("must be refused");
    assert!(problems.render(true).contains('\u{1b}'));
    assert!(!problems.render(false).contains('\u{1b}'));
}

#[test]
fn lines_and_columns_count_characters() {
    let text = with("[\"https://www.example.com\"]", "[\"https://ä.example\", 5]");
    let problems = parse(&text).expect_err("must be refused");
    let row = &problems.rows()[0];
    assert_eq!((row.line, row.column), (Some(9), Some(33)));
    assert_eq!(
        problems.to_string(),
        "refreshd.toml:9:33: `domains` is a text, not a whole number (put it in double quotes)"
    );
}

#[test]
fn a_syntax_error_is_shown_where_it_is() {
    let text = with("\"/srv/www\"", "/srv/www");
    let shown = parse(&text).expect_err("must be refused").render(false);
    insta::assert_snapshot!(shown);
}

#[test]
fn an_unknown_key_is_shown_with_its_nearest() {
    let text = adding("", "setle = \"1s\"\ncolour = \"red\"");
    let shown = parse(&text).expect_err("must be refused").render(false);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_secret_that_was_written_into_the_file_is_not_shown() {
    for line in [
        "access_key_secret = \"canary\"",
        "Access_Key_Secret = 'canary' # canary",
        "access_key_secret = canary",
        "access_key_secret=\"canary",
        "#access_key_secret = \"canary\"\nbatch = 0",
        "key = { secret = \"canary\" }",
        "security_token_file = \"canary\"",
        "security_token_file = \"ä-canary\"",
        "proxy = \"http://u:canary@b.example\"",
        "proxy = \"http://u:canary@b.example/\" x",
        "[account.main.credentials]\nuri = \"http://canary@b.example/key\"",
        "[account.main.credentials]\nuri = \"ftp://b.example/key?token=canary\"",
        "[account.main.credentials]\nsts_endpoint = \"https://u:canary@\"",
        "[account.main.credentials]\nsts_endpoint = \"https://u:canary@b.example/\"",
    ] {
        for text in [adding(line, ""), adding(&format!("{line}\nodd = 1"), "")] {
            let problems = parse(&text).expect_err(line);
            let shown = format!("{} {problems} {:?}", problems.render(false), problems.rows());
            assert!(!shown.contains("canary"), "{line}: {shown}");
            assert!(shown.contains("*****"), "{line}: {shown}");
        }
    }
}

#[test]
fn several_problems_are_shown_at_once() {
    let text = adding("poll_first = 180\nbatch = 0", "account = \"mian\"").replace("/srv", "~/srv");
    let shown = parse(&text).expect_err("must be refused").render(false);
    insta::assert_snapshot!(shown);
}

#[test]
fn plain_http_is_shown_with_its_remedy() {
    let text = with("https://cdn", "http://cdn");
    let shown = parse(&text).expect_err("must be refused").render(false);
    insta::assert_snapshot!(shown);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(at in 0..MINIMAL.len(), junk in "\\PC{0,8}") {
        let mut text = MINIMAL.to_owned();
        text.insert_str(at, &junk);
        if let Err(problems) = parse(&text) {
            assert!(!problems.render(false).is_empty());
            assert!(!problems.rows().is_empty());
        }
    }
}

#[test]
fn shares_belong_to_the_account_of_their_origin_and_come_to_a_hundred_at_most() {
    let second = "\n[origin.blog]\nroot = \"/srv/blog\"\ndomains = [\"https://b.example\"]\n";
    let with = |www: u64, blog: u64| {
        let www =
            adding("[account.main.quota]\nwide_per_hour = 6", &format!("quota_share = {www}"));
        format!("{www}{second}quota_share = {blog}\n")
    };
    let rules = config(&with(60, 40)).accounts[&AccountName::from("main")].rules.clone();
    assert_eq!(rules.shares, [("blog".into(), 40), ("www".into(), 60)].into());
    assert_eq!(rules.wide_per_hour, Some(6));
    let (_, findings) = read::config(&with(60, 41), Path::new("x"), None);
    let messages: Vec<&str> = findings.problems.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["the shares of account `main` come to 101 percent"]);
}

#[test]
fn the_page_is_served_where_and_to_whom_the_file_says() {
    let web = config(&format!(
        "{MINIMAL}[web]\nlisten = \"127.0.0.1:8378\"\ntoken_files = [\"/etc/refreshd/tokens/alice\"]\n\
         read = \"token\"\nhosts = [\"CDN.example.com\", \"::1\"]"
    ))
    .web;
    assert_eq!(web.listen, Listen::At("127.0.0.1:8378".parse().expect("an address")));
    assert_eq!(web.token_files, [PathBuf::from("/etc/refreshd/tokens/alice")]);
    assert_eq!(
        (web.read, web.hosts),
        (Readers::Token, vec!["cdn.example.com".into(), "::1".into()])
    );
    let refused = |keys: &str| messages(&format!("{MINIMAL}[web]\n{keys}"));
    assert_eq!(
        refused("read = \"token\""),
        ["`read = \"token\"` without a token: nobody may read"]
    );
    assert_eq!(refused("listen = \"8378\""), ["`listen` can't be \"8378\""]);
    assert_eq!(refused("hosts = [\"http://a/\"]"), ["`hosts` can't be \"http://a/\""]);
}
