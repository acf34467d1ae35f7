//! One configuration key: its name, type, bounds, default and documentation.
//!
//! A [`Key`] is a row of the tables in `config::keys`. It knows how to judge a value's text and nothing of
//! where the text came from. Reasons for a refusal use Kafka's words (`ConfigDef`), since clients show them.

use std::collections::BTreeSet;
use std::fmt;

/// The type of a key's value, by Kafka's name (`ConfigDef.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// A 16-bit integer.
    Short,
    /// A 32-bit integer.
    Int,
    /// A 64-bit integer.
    Long,
    /// A floating-point number.
    Double,
    /// Text, trimmed.
    Text,
    /// Texts separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// Kafka's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Short => "SHORT",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::Text => "STRING",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    fn integer_range(self) -> (i64, i64) {
        match self {
            Self::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a value must satisfy besides its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// Nothing.
    Any,
    /// An integer that is not below the bound.
    AtLeast(i64),
    /// An integer within both bounds, inclusive.
    Between(i64, i64),
    /// A number from 0 to 1.
    Fraction,
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// One of these texts; for a list, each entry is.
    OneOf(&'static [&'static str]),
    /// `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration (KIP-1106).
    OffsetReset,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::AtLeast(least) => write!(f, "{least} or more"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::Fraction => f.write_str("0 to 1"),
            Self::GzipLevel => f.write_str("-1, or 1 to 9"),
            Self::OneOf(texts) => f.write_str(&texts.join(", ")),
            Self::OffsetReset => f.write_str("earliest, latest, by_duration:PnDTnHnMn.nS"),
        }
    }
}

/// Whether a value can change while the broker runs (`DynamicBrokerConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicMode {
    /// Needs a restart.
    ReadOnly,
    /// Can change for one broker.
    PerBroker,
    /// Can change for one broker or for all of them.
    ClusterWide,
}

impl DynamicMode {
    /// Kafka's name of the mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
        }
    }
}

/// What setting the key does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is obeyed, or belongs to a part of the broker that will obey it.
    Obeyed,
    /// It is accepted and changes nothing, for this reason.
    Inert(&'static str),
    /// Setting it is an error, with this remedy.
    Refused(&'static str),
}

/// A broker key that a topic key falls back on, and the factor that turns its unit into the topic key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub broker_key: &'static str,
    /// What its value is multiplied with, such as 3,600,000 from hours to milliseconds.
    pub factor: i64,
}

/// A row of a key table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key as users write it.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value when nobody sets it; `None` is Kafka's null, which mostly means "see another key".
    pub default: Option<&'static str>,
    /// What the value must satisfy.
    pub bounds: Bounds,
    /// Whether an empty list is refused.
    pub nonempty: bool,
    /// Whether it can change while the broker runs.
    pub dynamic: DynamicMode,
    /// What setting it does here.
    pub support: Support,
    /// For a topic key: the broker keys it falls back on; the first that is set wins.
    pub synonyms: &'static [Synonym],
}

/// A value that passed its key's checks.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a `BOOLEAN`.
    Boolean(bool),
    /// Of a `SHORT`, `INT` or `LONG`.
    Integer(i64),
    /// Of a `DOUBLE`.
    Double(f64),
    /// Of a `STRING`, `CLASS` or `PASSWORD`.
    Text(String),
    /// Of a `LIST`.
    List(Vec<String>),
}

/// Why a value is refused, in Kafka's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub String);

impl Key {
    pub(super) const fn new(name: &'static str, doc: &'static str, kind: Kind) -> Self {
        Self {
            name,
            doc,
            kind,
            default: None,
            bounds: Bounds::Any,
            nonempty: false,
            dynamic: DynamicMode::ReadOnly,
            support: Support::Obeyed,
            synonyms: &[],
        }
    }

    pub(super) const fn boolean(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Boolean)
    }

    pub(super) const fn short(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Short)
    }

    pub(super) const fn int(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Int)
    }

    pub(super) const fn long(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Long)
    }

    pub(super) const fn double(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Double)
    }

    pub(super) const fn text(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Text)
    }

    pub(super) const fn list(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::List)
    }

    pub(super) const fn class(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Kind::Class)
    }

    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    pub(super) const fn at_least(mut self, least: i64) -> Self {
        self.bounds = Bounds::AtLeast(least);
        self
    }

    pub(super) const fn between(mut self, least: i64, most: i64) -> Self {
        self.bounds = Bounds::Between(least, most);
        self
    }

    pub(super) const fn fraction(mut self) -> Self {
        self.bounds = Bounds::Fraction;
        self
    }

    pub(super) const fn gzip_level(mut self) -> Self {
        self.bounds = Bounds::GzipLevel;
        self
    }

    pub(super) const fn one_of(mut self, texts: &'static [&'static str]) -> Self {
        self.bounds = Bounds::OneOf(texts);
        self
    }

    pub(super) const fn offset_reset(mut self) -> Self {
        self.bounds = Bounds::OffsetReset;
        self
    }

    pub(super) const fn nonempty(mut self) -> Self {
        self.nonempty = true;
        self
    }

    pub(super) const fn per_broker(mut self) -> Self {
        self.dynamic = DynamicMode::PerBroker;
        self
    }

    pub(super) const fn cluster_wide(mut self) -> Self {
        self.dynamic = DynamicMode::ClusterWide;
        self
    }

    pub(super) const fn inert(mut self, reason: &'static str) -> Self {
        self.support = Support::Inert(reason);
        self
    }

    pub(super) const fn refused(mut self, remedy: &'static str) -> Self {
        self.support = Support::Refused(remedy);
        self
    }

    pub(super) const fn synonyms(mut self, synonyms: &'static [Synonym]) -> Self {
        self.synonyms = synonyms;
        self
    }

    /// Reads `text` as this key's type and checks its bounds.
    pub fn check(&self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        match self.kind {
            Kind::Boolean => check_boolean(text),
            Kind::Short | Kind::Int | Kind::Long => self.check_integer(text),
            Kind::Double => self.check_double(text),
            Kind::Text | Kind::Class | Kind::Password => {
                self.check_allowed(text)?;
                Ok(Value::Text(text.to_owned()))
            }
            Kind::List => self.check_list(text),
        }
    }

    fn check_integer(&self, text: &str) -> Result<Value, BadValue> {
        let (least, most) = self.kind.integer_range();
        let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        let number = number.ok_or_else(|| BadValue(format!("Not a number of type {}", self.kind)))?;
        match self.bounds {
            Bounds::AtLeast(least) | Bounds::Between(least, _) if number < least => {
                Err(BadValue(format!("Value must be at least {least}")))
            }
            Bounds::Between(_, most) if most < number => {
                Err(BadValue(format!("Value must be no more than {most}")))
            }
            Bounds::GzipLevel if number != -1 && !(1..=9).contains(&number) => {
                Err(BadValue("Value must be between 1 and 9 or equal to -1".to_owned()))
            }
            _ => Ok(Value::Integer(number)),
        }
    }

    fn check_double(&self, text: &str) -> Result<Value, BadValue> {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| BadValue(format!("Not a number of type {}", self.kind)))?;
        match self.bounds {
            Bounds::Fraction if number < 0.0 => Err(BadValue("Value must be at least 0".to_owned())),
            Bounds::Fraction if 1.0 < number => Err(BadValue("Value must be no more than 1".to_owned())),
            _ => Ok(Value::Double(number)),
        }
    }

    fn check_list(&self, text: &str) -> Result<Value, BadValue> {
        let entries: Vec<String> = match text {
            "" => Vec::new(),
            _ => text.split(',').map(|entry| entry.trim().to_owned()).collect(),
        };
        if self.nonempty && entries.is_empty() {
            return Err(BadValue("The list must not be empty".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for entry in &entries {
            if entry.is_empty() {
                return Err(BadValue("The list has an empty entry".to_owned()));
            }
            if !seen.insert(entry) {
                return Err(BadValue(format!("The list has '{entry}' twice")));
            }
            self.check_allowed(entry)?;
        }
        Ok(Value::List(entries))
    }

    fn check_allowed(&self, text: &str) -> Result<(), BadValue> {
        match self.bounds {
            Bounds::OneOf(allowed) if !allowed.contains(&text) => {
                Err(BadValue(format!("String must be one of: {}", allowed.join(", "))))
            }
            Bounds::OffsetReset if !is_offset_reset(text) => {
                Err(BadValue(format!("String must be one of: {}", self.bounds)))
            }
            _ => Ok(()),
        }
    }
}

/// `ShareGroupAutoOffsetResetStrategy.Validator`
fn is_offset_reset(text: &str) -> bool {
    matches!(text, "earliest" | "latest") || text.strip_prefix("by_duration:").is_some_and(is_duration)
}

/// Whether a text is a duration of ISO 8601 as Java reads it, without a sign.
fn is_duration(text: &str) -> bool {
    let Some(text) = text.strip_prefix('P') else { return false };
    let (days, time) = text.split_once('T').map_or((text, None), |(days, time)| (days, Some(time)));
    let has_days = !days.is_empty();
    let has_time = time.is_some_and(|time| !time.is_empty());
    (has_days || has_time)
        && (!has_days || has_amounts(days, "D"))
        && time.is_none_or(|time| has_amounts(time, "HMS"))
}

/// Whether a text is a sequence of numbers, each with a unit, in the order of `units`; only seconds have
/// a fraction.
fn has_amounts(text: &str, units: &str) -> bool {
    let mut rest = text;
    for unit in units.chars() {
        let Some((amount, after)) = rest.split_once(unit) else { continue };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || (amount.contains('.') && unit != 'S') {
            return false;
        }
        rest = after;
    }
    rest.is_empty() && !text.is_empty()
}

fn check_boolean(text: &str) -> Result<Value, BadValue> {
    if text.eq_ignore_ascii_case("true") {
        Ok(Value::Boolean(true))
    } else if text.eq_ignore_ascii_case("false") {
        Ok(Value::Boolean(false))
    } else {
        Err(BadValue("Expected value to be either true or false".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_against_type_and_bounds() {
        let list = Key::list("l", "").one_of(&["a", "b"]);
        let cases = [
            (Key::int("i", "").at_least(1), "0", Err("Value must be at least 1")),
            (Key::int("i", "").at_least(1), " 7 ", Ok(Value::Integer(7))),
            (Key::int("i", ""), "2147483648", Err("Not a number of type INT")),
            (Key::long("l", ""), "2147483648", Ok(Value::Integer(2_147_483_648))),
            (Key::long("l", ""), "9223372036854775808", Err("Not a number of type LONG")),
            (Key::short("s", ""), "40000", Err("Not a number of type SHORT")),
            (Key::int("i", "").between(1, 17), "18", Err("Value must be no more than 17")),
            (Key::int("i", "").gzip_level(), "0", Err("Value must be between 1 and 9 or equal to -1")),
            (Key::int("i", "").gzip_level(), "-1", Ok(Value::Integer(-1))),
            (Key::boolean("b", ""), "TRUE", Ok(Value::Boolean(true))),
            (Key::boolean("b", ""), "yes", Err("Expected value to be either true or false")),
            (Key::double("d", "").fraction(), "1.5", Err("Value must be no more than 1")),
            (Key::double("d", ""), "NaN", Err("Not a number of type DOUBLE")),
            (list, "a, b", Ok(Value::List(vec!["a".to_owned(), "b".to_owned()]))),
            (list, "", Ok(Value::List(vec![]))),
            (list.nonempty(), "", Err("The list must not be empty")),
            (list, "a,a", Err("The list has 'a' twice")),
            (list, "c", Err("String must be one of: a, b")),
            (Key::list("l", ""), "a,,b", Err("The list has an empty entry")),
            (Key::text("t", "").one_of(&["x"]), "y", Err("String must be one of: x")),
        ];
        for (text, is_allowed) in [
            ("earliest", true),
            ("by_duration:P1DT2H", true),
            ("by_duration:PT0.5S", true),
            ("by_duration:P", false),
            ("by_duration:PT", false),
            ("by_duration:P-1D", false),
            ("by_duration:PT1.5H", false),
            ("newest", false),
        ] {
            let key = Key::text("t", "").offset_reset();
            assert_eq!(key.check(text).is_ok(), is_allowed, "{text}");
        }
        for (key, text, expected) in cases {
            let found = key.check(text);
            assert_eq!(found, expected.map_err(|reason| BadValue(reason.to_owned())), "{} {text}", key.name);
        }
    }
}
