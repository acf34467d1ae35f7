//! Subscriptions by pattern: checked when a member brings one, resolved against the topics from time to time.
//!
//! Kafka uses RE2/J, the crate `regex` is of the same family: time linear in the input, no look-around, no
//! back-references. A pattern has to match the whole name. `\Q..\E`, which Java's `Pattern.quote` writes, is
//! translated.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use regex::{Regex, RegexBuilder};

use super::records::ConsumerGroupRegularExpressionValue;
use crate::metadata::MetadataImage;
use crate::types::{Timestamp, TopicName};

/// The longest pattern in bytes.
///
/// Differs from Kafka, which has no bound of its own: a pattern is compiled on the shard that serves
/// requests.
const PATTERN_BYTES_MAX: usize = 4_096;

/// Memory of one compiled pattern, and of the automaton made from it while it matches.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern that is no regular expression, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {reason}.")]
pub(super) struct InvalidPattern {
    pattern: String,
    reason: String,
}

/// A pattern of topic names, compiled.
#[derive(Debug, Clone)]
struct TopicPattern(Regex);

/// Refuses what cannot be resolved later (`Utils.throwIfRegularExpressionIsInvalid`).
pub(super) fn check_pattern(pattern: &str) -> Result<(), InvalidPattern> {
    TopicPattern::compile(pattern).map(|_| ())
}

impl TopicPattern {
    fn compile(pattern: &str) -> Result<Self, InvalidPattern> {
        let refuse = |reason: String| {
            let pattern = pattern.chars().take(100).collect();
            InvalidPattern { pattern, reason }
        };
        if PATTERN_BYTES_MAX < pattern.len() {
            let length = pattern.len();
            return Err(refuse(format!("it has {length} bytes, at most {PATTERN_BYTES_MAX} are allowed")));
        }
        let translated = without_quotes(pattern);
        let build = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX)
                .dfa_size_limit(COMPILED_BYTES_MAX)
                .build()
                .map_err(|error| refuse(one_line(&error)))
        };
        // By itself first: `a)|(b` is whole only once it stands in parentheses.
        build(&translated)?;
        build(&format!(r"\A(?:{translated})\z")).map(Self)
    }

    fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

/// The last line of what `regex` says; those before draw the pattern.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").trim_end_matches('.').to_owned()
}

/// What stands between `\Q` and `\E`, or the end, is meant literally.
fn without_quotes(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        translated.push_str(before);
        match escape.strip_prefix(r"\Q") {
            Some(quoted) => {
                let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                translated.push_str(&regex::escape(literal));
                rest = after;
            }
            None => {
                // The escaped character goes along, so that `\\Q` is a backslash and a Q.
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                translated.push_str(&escape[..length]);
                rest = &escape[length..];
            }
        }
    }
    translated + rest
}

/// What a pattern stands for (`ResolvedRegularExpression`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResolvedRegex {
    pub(super) topics: BTreeSet<String>,
    /// The offset of the metadata that was searched.
    pub(super) version: i64,
    pub(super) resolved_at: i64,
}

impl ResolvedRegex {
    pub(super) fn from_record(value: ConsumerGroupRegularExpressionValue) -> Self {
        let topics = value.topics.into_iter().collect();
        Self { topics, version: value.version, resolved_at: value.timestamp }
    }

    pub(super) fn to_record(&self) -> ConsumerGroupRegularExpressionValue {
        ConsumerGroupRegularExpressionValue {
            topics: self.topics.iter().cloned().collect(),
            version: self.version,
            timestamp: self.resolved_at,
        }
    }
}

/// A search of all topics for those that the patterns of a group stand for. It goes in steps, between
/// which the shard does other work; topics that come meanwhile are found by the next search, since the
/// version of this one is that of its start.
#[derive(Debug)]
pub struct TopicSearch {
    group_id: String,
    version: i64,
    started: Timestamp,
    patterns: Vec<(String, TopicPattern)>,
    found: BTreeMap<String, BTreeSet<String>>,
    /// The last topic looked at.
    last: Option<TopicName>,
}

impl TopicSearch {
    /// A search for the topics of `regexes`, those of one group, as of now.
    pub fn new(group_id: String, regexes: Vec<String>, image: &MetadataImage, now: Timestamp) -> Self {
        let mut search = Self {
            group_id,
            version: image.end_offset().0,
            started: now,
            patterns: Vec::new(),
            found: BTreeMap::new(),
            last: None,
        };
        for regex in regexes {
            // One that Kafka takes and we do not may come out of a log of Kafka's: it matches nothing.
            if let Ok(pattern) = TopicPattern::compile(&regex) {
                search.patterns.push((regex.clone(), pattern));
            }
            search.found.insert(regex, BTreeSet::new());
        }
        search
    }

    /// The group whose patterns these are.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Looks at up to `topics` topics; whether that were all.
    pub fn step(&mut self, image: &MetadataImage, topics: usize) -> bool {
        let from = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        for name in image.topic_names_from(from).take(topics) {
            for (regex, pattern) in &self.patterns {
                if pattern.matches(name.as_str()) {
                    let found = self.found.get_mut(regex).expect("every pattern has its set");
                    found.insert(name.to_string());
                }
            }
            looked_at += 1;
            self.last = Some(name.clone());
        }
        looked_at < topics
    }

    /// What was found, by pattern.
    pub(super) fn into_resolved(self) -> impl Iterator<Item = (String, ResolvedRegex)> {
        let (version, resolved_at) = (self.version, self.started.0);
        self.found
            .into_iter()
            .map(move |(regex, topics)| (regex, ResolvedRegex { topics, version, resolved_at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = TopicPattern::compile(pattern).unwrap();
        for topic in matching {
            assert!(compiled.matches(topic), "`{pattern}` must match {topic}");
        }
        for topic in others {
            assert!(!compiled.matches(topic), "`{pattern}` must not match {topic}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        check("orders", &["orders"], &["orders2", "my-orders", "order"]);
        check("a|bc", &["a", "bc"], &["ab", "abc", "c"]);
        check("^or.*$", &["or", "orders"], &["for"]);
        check("(?i)ORD.*", &["orders"], &["word"]);
        check(r"t-\d+", &["t-1", "t-22"], &["t-", "t-x"]);
    }

    #[test]
    fn quoted_parts_are_literal() {
        check(r"\Qa.b\E.*", &["a.b", "a.bc"], &["axb"]);
        check(r"\Qa.b", &["a.b"], &["axb"]);
        check(r"a\\Q", &[], &["aQ"]);
        check(r"\Q\E", &[""], &["a"]);
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused_with_the_reason() {
        let reason = |pattern: &str| check_pattern(pattern).unwrap_err().to_string();
        assert_eq!(
            reason("a("),
            "SubscribedTopicRegex `a(` is not a valid regular expression: unclosed group."
        );
        assert!(reason("a)|(b").contains("unopened group"));
        assert!(reason(r"(a)\1").contains("backreferences"));
        assert!(reason("(x{1000}){1000}").contains("size limit"));
        assert!(reason(&"a".repeat(5_000)).contains("5000 bytes, at most 4096"));
        assert!(check_pattern(r"\").is_err() && check_pattern("ä(").is_err());
    }
}
