//! Rules about the source tree that the compiler does not know, checked by reading it.
//!
//! Each rule is a function from one file to its violations and is tested on samples at the end of this file,
//! so that a rule that cannot fail is noticed. The layers come from `docs/architecture.md`, the reasons for
//! dependencies from `docs/dependencies.md`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// Columns of the longest line.
const LINE_COLUMNS_MAX: usize = 110;

/// Files and directories that may hold `unsafe`. Each such file also says so at its head with a reason.
const UNSAFE_ALLOWED: &[&str] = &["src/rt/", "src/record/", "src/disk/"];

/// Where the clock, threads and the file system may be named: everything else gets them as arguments.
const OUTSIDE_WORLD_ALLOWED: &[&str] = &["src/rt/", "src/cli/", "src/main.rs"];
const OUTSIDE_WORLD: &[&str] =
    &["Instant::now", "SystemTime::now", "thread::spawn", "thread::Builder", "std::fs", "thread_rng"];

/// The runtime's crates and the one directory that may name them.
const RUNTIME_CRATES: &[&str] = &["glommio", "core_affinity"];
const RUNTIME_DIR: &str = "src/rt/";

const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// What is read of the repository, and the generated files within.
const READ: &[&str] = &[
    ".ci",
    "benches",
    "docs",
    "src",
    "tests",
    "tuning",
    "CHANGELOG.md",
    "Cargo.toml",
    "README.md",
    "rustfmt.toml",
];
const NOT_READ: &[&str] =
    &["benches/results", "tests/fuzz/target", "tests/fuzz/corpus", "tests/fuzz/artifacts", "/.work"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One file of the tree.
struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
    /// `text` with comments and the contents of literals blanked; lines stay where they are.
    code: String,
    /// `code` with the items under `#[cfg(test)]` blanked too.
    shipped: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        let code = if is_rust { blank_comments_and_literals(text) } else { text.to_owned() };
        let shipped = if is_rust { blank_test_items(&code) } else { code.clone() };
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    fn is_shipped_rust(&self) -> bool {
        self.path.starts_with("src/") && self.path.ends_with(".rs") && !self.is_test_file()
    }

    /// Unit tests that grew into a file of their own: `mod tests;` under `#[cfg(test)]`.
    fn is_test_file(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs") || self.path.contains("/tests/")
    }

    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// A violation for each line of `code` that names one of `words`.
    fn violations_of(&self, code: &str, words: &[&str], why: &str) -> Vec<Violation> {
        let mut found = Vec::new();
        for (index, line) in code.lines().enumerate() {
            for word in words.iter().filter(|word| names(line, word)) {
                found.push(self.violation(index + 1, format!("`{word}`: {why}")));
            }
        }
        found
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `line` holds `word` as a whole word.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_name_char) && !line[at + word.len()..].starts_with(is_name_char)
    })
}

/// Blanks comments, string and character literals; keeps every line break.
fn blank_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        match literal_or_comment_end(&chars, at) {
            Some(end) => {
                out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`, if one does.
fn literal_or_comment_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => Some(find(chars, at, |rest| rest[0] == '\n').unwrap_or(chars.len())),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(string_end(chars, at)),
        ('r', Some('"' | '#')) if at == 0 || !is_name_char(chars[at - 1]) || chars[at - 1] == 'b' => {
            raw_string_end(chars, at)
        }
        ('\'', Some('\\')) => find(chars, at + 3, |rest| rest[0] == '\'').map(|end| end + 1),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..chars.len()).find(|&at| wanted(&chars[at..]))
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |rest: &[char]| rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    Some(find(chars, open + 1, closes).map_or(chars.len(), |quote| quote + 1 + hashes))
}

/// Blanks the item after each `#[cfg(test)]`.
fn blank_test_items(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(test)]") {
        let start = from + found;
        let Some(length) = item_end(&out[start..]) else { break };
        let blank: String =
            out[start..start + length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..start + length, &blank);
        from = start + blank.len();
    }
    out
}

/// The end of the first item in `code`: at its semicolon, or where its braces close.
fn item_end(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return Some(at + 1),
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Who may import whom, read from the page that explains it.
struct Layers(BTreeMap<String, BTreeSet<String>>);

impl Layers {
    /// Reads the block that begins with "```layers", lines of `a, b -> c, d`. Whatever a layer may import,
    /// those that import the layer may import too.
    fn parse(page: &str) -> Self {
        let table = page.split("```layers").nth(1).expect("a layers table").split("```").next().unwrap();
        let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (left, right) in table.lines().filter_map(|line| line.split_once("->")) {
            for layer in left.split(',') {
                let named = right.split(',').map(|name| name.trim().to_owned());
                direct.entry(layer.trim().to_owned()).or_default().extend(named);
            }
        }
        for leaf in direct.values().flatten().cloned().collect::<Vec<_>>() {
            direct.entry(leaf).or_default();
        }
        Self(direct.keys().map(|layer| (layer.clone(), Self::reachable(&direct, layer))).collect())
    }

    fn reachable(direct: &BTreeMap<String, BTreeSet<String>>, layer: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::from([layer.to_owned(), "types".to_owned()]);
        let mut unvisited = vec![layer.to_owned()];
        while let Some(next) = unvisited.pop() {
            for to in direct.get(&next).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    unvisited.push(to.clone());
                }
            }
        }
        seen
    }

    /// The layer a file belongs to; none for the crate's roots, which only tie modules together.
    fn of(path: &str) -> Option<&str> {
        let inside = path.strip_prefix("src/")?;
        let name = inside.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name);
        (name != "lib" && name != "main").then_some(name)
    }

    fn check(&self, source: &Source) -> Vec<Violation> {
        let Some(layer) = Self::of(&source.path) else { return Vec::new() };
        let Some(allowed) = self.0.get(layer) else {
            return vec![source.violation(1, format!("`{layer}` is not in the table of layers"))];
        };
        let mut found = Vec::new();
        for (line, target) in imports(source) {
            if !self.0.contains_key(&target) {
                found.push(source.violation(line, format!("`crate::{target}` is not a layer of the table")));
            } else if !allowed.contains(&target) {
                found.push(source.violation(line, format!("`{layer}` must not import `{target}`")));
            }
        }
        found
    }
}

/// First segments of every path that begins at the crate's root, with their lines.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let above = "super::".repeat(module_depth(&source.path));
    let mut found = Vec::new();
    for root in ["crate::", "corelog::", above.as_str()].into_iter().filter(|root| !root.is_empty()) {
        for (at, _) in code.match_indices(root) {
            let part_of_longer = code[..at].ends_with(|c| is_name_char(c) || c == ':');
            if part_of_longer || (root.starts_with("super") && in_inner_module(&code[..at])) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let segments = first_segments(&code[at + root.len()..]);
            found.extend(segments.into_iter().map(|segment| (line, segment)));
        }
    }
    found
}

/// How many `super::` lead from a file to the crate's root.
fn module_depth(path: &str) -> usize {
    let Some(inside) = path.strip_prefix("src/") else { return 0 };
    let parts = inside.split('/').count();
    if inside.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Whether an inline module began earlier: there, `super` counts from that module.
fn in_inner_module(before: &str) -> bool {
    before.lines().any(|line| line.trim_start().starts_with("mod ") && line.ends_with('{'))
}

/// `a::b` is `a`; `{a::b, c}` is `a` and `c`.
fn first_segments(path: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.trim_start().chars().take_while(|&c| is_name_char(c)).collect() };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut start, mut found) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            found.push(name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn check_runtime_crates(source: &Source) -> Vec<Violation> {
    if !source.is_shipped_rust() || source.path.starts_with(RUNTIME_DIR) {
        return Vec::new();
    }
    source.violations_of(&source.code, RUNTIME_CRATES, "only `src/rt` names the runtime's crates")
}

fn check_outside_world(source: &Source) -> Vec<Violation> {
    if !source.is_shipped_rust()
        || OUTSIDE_WORLD_ALLOWED.iter().any(|allowed| source.path.starts_with(allowed))
    {
        return Vec::new();
    }
    source.violations_of(
        &source.shipped,
        OUTSIDE_WORLD,
        "time, threads and files are arguments outside of `rt`",
    )
}

fn check_unfinished(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| line.contains(*word)) {
            found.push(source.violation(index + 1, format!("`{word}` is not finished")));
        }
    }
    found
}

fn check_head(source: &Source) -> Vec<Violation> {
    if source.path.starts_with("src/") && source.path.ends_with(".rs") && !source.text.starts_with("//!") {
        return vec![
            source.violation(1, "a file begins with `//!`: what it is for, and what it does not know"),
        ];
    }
    Vec::new()
}

fn check_columns(source: &Source) -> Vec<Violation> {
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            found.push(source.violation(index + 1, format!("{columns} columns, at most {LINE_COLUMNS_MAX}")));
        }
    }
    found
}

fn check_unsafe(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let allowed = UNSAFE_ALLOWED.iter().any(|allowed| source.path.starts_with(allowed));
    let why = if !allowed {
        "this file is not on the list of those that may"
    } else if !source.code.contains("expect(unsafe_code") {
        "its file says `#![expect(unsafe_code, reason = ..)]`"
    } else {
        return Vec::new();
    };
    source.violations_of(&source.code, &["unsafe"], why)
}

/// Paths of somebody's machine are of no use to a reader.
fn check_machine_paths(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for home in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
            let absolute =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || ".}$~".contains(c));
            if line.match_indices(home).any(|(at, _)| absolute(at)) {
                found.push(source.violation(index + 1, format!("`{home}` is a path of one machine")));
            }
        }
    }
    found
}

/// Every dependency of the manifest has a line in the page, and every line a dependency.
fn check_dependencies(manifest: &str, page: &str) -> Vec<Violation> {
    let mut wanted = BTreeSet::new();
    let mut in_table = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_table = line.ends_with("dependencies]");
        } else if let Some((name, _)) =
            line.split_once(['=', '.']).filter(|_| in_table && !line.starts_with('#'))
        {
            wanted.insert(name.trim().to_owned());
        }
    }
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(_, reason)| reason.trim_end_matches([' ', '|']).len() > 10)
        .map(|(name, _)| name.to_owned())
        .collect();
    let missing = wanted.difference(&documented).map(|name| format!("`{name}` has no line with its reason"));
    let stale = documented.difference(&wanted).map(|name| format!("`{name}` is no dependency any more"));
    let violation = |what| Violation { path: "docs/dependencies.md".to_owned(), line: 1, what };
    missing.chain(stale).map(violation).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file of the tree that is committed.
fn tree() -> Vec<Source> {
    let mut found = Vec::new();
    let mut unvisited: Vec<String> = READ.iter().map(|&path| path.to_owned()).collect();
    while let Some(path) = unvisited.pop() {
        if NOT_READ.iter().any(|skipped| path == *skipped || path.ends_with(skipped)) {
            continue;
        }
        let full = root().join(&path);
        if full.is_dir() {
            let entries = fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name());
            unvisited.extend(entries.map(|name| format!("{path}/{}", name.to_string_lossy())));
        } else if let Ok(text) = fs::read_to_string(&full) {
            found.push(Source::new(&path, &text));
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

#[test]
fn the_tree_is_tidy() {
    let layers = Layers::parse(&read("docs/architecture.md"));
    let mut found = check_dependencies(&read("Cargo.toml"), &read("docs/dependencies.md"));
    let sources = tree();
    assert!(
        sources.iter().filter(|source| source.is_shipped_rust()).count() > 10,
        "the sources were not found"
    );
    for source in &sources {
        found.extend(layers.check(source));
        found.extend(check_runtime_crates(source));
        found.extend(check_outside_world(source));
        found.extend(check_unfinished(source));
        found.extend(check_head(source));
        found.extend(check_columns(source));
        found.extend(check_unsafe(source));
        found.extend(check_machine_paths(source));
    }
    let lines: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), lines.join("\n"));
}

/// Runs a rule over samples: path, text, and the lines it must complain about.
fn check_samples(rule: impl Fn(&Source) -> Vec<Violation>, samples: &[(&str, &str, &[usize])]) {
    for (path, text, expected) in samples {
        let lines: Vec<usize> =
            rule(&Source::new(path, text)).iter().map(|violation| violation.line).collect();
        assert_eq!(&lines, expected, "{path}: {text}");
    }
}

#[test]
fn comments_and_literals_are_not_code() {
    let check =
        |text: &str, expected: &str| assert_eq!(blank_comments_and_literals(text), expected, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", &format!("a {} e", " ".repeat(17)));
    check(r#"f("x // y", 'z')"#, "f(        ,    )");
    check(r##"f(r#"a "b" c"#)"##, &format!("f({})", " ".repeat(12)));
    check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    check(r"'\n' + '\''", "     +     ");
    check("\"a\\\"b\" c", "       c");
}

#[test]
fn items_under_cfg_test_are_not_shipped() {
    let source = Source::new("src/log/mod.rs", "a\n#[cfg(test)]\nmod tests {\n  { std::fs }\n}\nb");
    assert_eq!(source.shipped.lines().count(), 6);
    assert!(!source.shipped.contains("std::fs") && source.shipped.ends_with("\nb"));
}

#[test]
fn a_layer_imports_what_it_names_and_what_those_name() {
    let layers =
        Layers::parse("text\n```layers\ntop, side -> middle\nmiddle -> bottom\nbottom -> types\n```\n");
    check_samples(
        |source| layers.check(source),
        &[
            ("src/top/mod.rs", "use crate::bottom::X;", &[]),
            ("src/top.rs", "use crate::types::X;\nuse crate::middle;", &[]),
            ("src/bottom/a.rs", "\nuse crate::middle::X;", &[2]),
            ("src/bottom/a.rs", "fn f(x: crate::top::X) {}", &[1]),
            ("src/middle/a.rs", "use crate::{bottom::{A, B}, top::C, types};", &[1]),
            ("src/middle/a.rs", "use crate::{\n    bottom::A,\n    side::B,\n};", &[1]),
            ("src/middle/mod.rs", "// use crate::top::X;\n/// [`crate::top`]", &[]),
            ("src/middle/a.rs", "use corelog::top::X;", &[1]),
            ("src/middle/a.rs", "use super::super::top::X;", &[1]),
            ("src/middle/mod.rs", "use super::top::X;", &[1]),
            ("src/middle/mod.rs", "mod tests {\n    use super::top;\n}", &[]),
            ("src/middle/a.rs", "use crate::stranger::X;", &[1]),
            ("src/stranger/mod.rs", "", &[1]),
            ("src/lib.rs", "use crate::top::X;", &[]),
        ],
    );
}

#[test]
fn every_rule_finds_what_it_forbids() {
    check_samples(
        check_runtime_crates,
        &[
            ("src/log/a.rs", "use glommio::io::DmaFile;", &[1]),
            ("src/log/a.rs", "// glommio does\nlet name = \"glommio\";", &[]),
            ("src/rt/a.rs", "use glommio::io::DmaFile;", &[]),
        ],
    );
    check_samples(
        check_outside_world,
        &[
            ("src/log/a.rs", "let now = Instant::now();\nstd::fs::read(p)", &[1, 2]),
            ("src/log/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}", &[]),
            ("src/log/tests.rs", "use std::fs;", &[]),
            ("src/cli/a.rs", "use std::fs;", &[]),
            ("src/disk/a.rs", "std::thread::spawn(f); MyInstant::now()", &[1]),
        ],
    );
    let unfinished = "todo!()\n// todo!()\nfoo(unimplemented!(), dbg!(x))";
    check_samples(check_unfinished, &[("src/a.rs", unfinished, &[1, 3, 3])]);
    check_samples(check_head, &[("src/a.rs", "use x;", &[1]), ("src/b.rs", "//! What.\nuse x;", &[])]);
    let long = format!("{}é\n{}é", "x".repeat(LINE_COLUMNS_MAX), "x".repeat(LINE_COLUMNS_MAX - 1));
    check_samples(check_columns, &[("benches/a.rs", &long, &[1]), ("docs/a.md", &long, &[])]);
    check_samples(
        check_unsafe,
        &[
            ("src/log/a.rs", "#![expect(unsafe_code)]\nunsafe { f() }\n// unsafe", &[2]),
            ("src/rt/a.rs", "//! X.\nunsafe { f() }", &[2]),
            ("src/rt/a.rs", "#![expect(unsafe_code, reason = \"..\")]\nunsafe { f() }", &[]),
        ],
    );
    let home = concat!("cd /wo", "rk/main\n./wo", "rk/\n$HOME/wo", "rk/x");
    check_samples(check_machine_paths, &[("docs/a.md", home, &[1])]);
}

/// The fuzzer is a package of its own, which no other test builds.
#[test]
fn every_served_api_is_fuzzed_from_a_seed() {
    for path in ["tests/fuzz/fuzz_targets/request_frame.rs", "tests/fuzz/seeds.rs"] {
        let text = read(path);
        for row in corelog::wire::api::ALL {
            let arm = format!("ApiKey::{:?} =>", row.key);
            assert!(text.contains(&arm), "{path}: {arm} is missing");
        }
    }
}

#[test]
fn dependencies_and_their_reasons_match() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\n# A comment = x.\n\
        b.workspace = true\n[lints.rust]\nc = 1\n";
    let check = |page: &str| check_dependencies(manifest, page).len();
    assert_eq!(check("| `a` | a good reason. |\n| `b` | a good reason. |"), 0);
    assert_eq!(check("| `a` | a good reason. |\n| `b` | |"), 1);
    assert_eq!(check("| `a` | a good reason. |\n| `b` | a good reason. |\n| `c` | a good reason. |"), 1);
}
