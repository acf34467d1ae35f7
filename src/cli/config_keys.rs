//! `corelog config keys`: the key table, for people and for programs.

use clap::Args;
use serde_json::{Value, json};

use super::CliError;
use super::output::print_text;
use crate::config::keys::{broker_keys, topic_keys};
use crate::config::{Key, Support};

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the keys that a topic can override, instead of the broker's.
    #[arg(long)]
    topic: bool,
    /// Print only keys whose name contains this text.
    #[arg(value_name = "TEXT", default_value = "")]
    contains: String,
}

/// Prints the table.
pub(super) fn print(args: &KeysArgs) -> Result<(), CliError> {
    let keys: Vec<&Key> = if args.topic { topic_keys().collect() } else { broker_keys().collect() };
    let keys: Vec<&Key> = keys.into_iter().filter(|key| key.name.contains(&args.contains)).collect();
    let text = match args.json {
        true => format!("{:#}\n", Value::from_iter(keys.into_iter().map(as_json))),
        false => keys.into_iter().map(as_text).collect(),
    };
    print_text(&text)
}

fn as_text(key: &Key) -> String {
    let bounds = key.bounds.to_string();
    let bounds = if bounds.is_empty() { bounds } else { format!(" [{bounds}]") };
    let default = key.default.map_or("null", |default| if default.is_empty() { "\"\"" } else { default });
    let mut text = format!(
        "{}={default}\n    {}{bounds}, {}\n    {}\n",
        key.name,
        key.kind,
        key.dynamic.name(),
        key.doc.trim()
    );
    match key.support {
        Support::Obeyed => {}
        Support::Inert(reason) => text.push_str(&format!("    Changes nothing here: {reason}.\n")),
        Support::Refused(remedy) => text.push_str(&format!("    Refused: {remedy}.\n")),
    }
    if !key.synonyms.is_empty() {
        let names: Vec<_> = key.synonyms.iter().map(|synonym| synonym.broker_key).collect();
        text.push_str(&format!("    Broker's: {}\n", names.join(", ")));
    }
    text
}

fn as_json(key: &Key) -> Value {
    let (support, remark) = match key.support {
        Support::Obeyed => ("obeyed", None),
        Support::Inert(reason) => ("inert", Some(reason)),
        Support::Refused(remedy) => ("refused", Some(remedy)),
    };
    let synonyms: Vec<_> = key.synonyms.iter().map(|synonym| synonym.broker_key).collect();
    json!({
        "name": key.name,
        "type": key.kind.name(),
        "default": key.default,
        "bounds": key.bounds.to_string(),
        "update": key.dynamic.name(),
        "support": support,
        "remark": remark,
        "broker_keys": synonyms,
        "doc": key.doc.trim(),
    })
}
