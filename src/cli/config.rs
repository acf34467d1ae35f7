//! `corelog config describe` and `corelog config alter`: the configuration of a running cluster.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::CliError;
use super::client_args::{ClientArgs, on_executor, parse_pair};
use super::output::print_text;
use crate::client::configs::{ConfigOperation, ConfigOwner, ConfigValue, alter_configs, describe_configs};
use crate::config::{ConfigSource, keys};

/// What has configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnerArg {
    /// A topic.
    Topic,
    /// A broker; without an id, all of them.
    Broker,
    /// A group.
    Group,
}

#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// What kind of thing.
    #[arg(value_enum, value_name = "KIND")]
    kind: OwnerArg,
    /// Its name or id.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Every key, not only those that somebody set.
    #[arg(short, long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AlterArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// What kind of thing.
    #[arg(value_enum, value_name = "KIND")]
    kind: OwnerArg,
    /// Its name or id; `all` stands for all brokers.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    changes: ChangeArgs,
}

/// The changes of one thing's configuration: all are made, or none.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Keys and the values they get.
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// A key that goes back to its default.
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
    /// Entries that a list gets besides, separated by commas.
    #[arg(long, value_name = "KEY=ENTRIES", value_parser = parse_pair)]
    append: Vec<(String, String)>,
    /// Entries that a list loses, separated by commas.
    #[arg(long, value_name = "KEY=ENTRIES", value_parser = parse_pair)]
    subtract: Vec<(String, String)>,
    /// Only ask whether the broker would make the changes.
    #[arg(long)]
    validate_only: bool,
}

/// Prints a configuration.
pub(super) fn describe(args: DescribeArgs) -> Result<(), CliError> {
    let owner = owner(args.kind, args.name.as_deref())?;
    let text = on_executor(async move || {
        let mut values = describe_configs(&args.client.connect().await?, &owner).await?;
        values.retain(|value| args.all || value.source != ConfigSource::Default.code());
        Ok(match args.json {
            true => format!("{:#}\n", Value::from_iter(values.iter().map(as_json))),
            false => values.iter().map(as_text).collect(),
        })
    })?;
    print_text(&text)
}

/// Changes a configuration.
pub(super) fn alter(args: AlterArgs) -> Result<(), CliError> {
    let name = Some(args.name.as_str()).filter(|&name| args.kind != OwnerArg::Broker || name != "all");
    let owner = owner(args.kind, name)?;
    let text = on_executor(async move || change(&args.client, &owner, args.changes).await)?;
    print_text(&text)
}

/// Makes changes; returns what to tell the user.
pub(super) async fn change(
    client: &ClientArgs,
    owner: &ConfigOwner,
    args: ChangeArgs,
) -> Result<String, CliError> {
    let validate_only = args.validate_only;
    let changes = operations(args);
    if changes.is_empty() {
        return Err(CliError::usage("nothing to change: give KEY=VALUE, --delete, --append or --subtract"));
    }
    for warning in changes.iter().filter_map(|(key, _)| unknown_key(owner, key)) {
        eprintln!("{warning}");
    }
    alter_configs(&client.connect().await?, owner, &changes, validate_only).await?;
    let outcome = if validate_only { "could be changed" } else { "changed" };
    Ok(changes.iter().map(|(key, _)| format!("{key} {outcome}\n")).collect())
}

/// What to say of a key that nothing here obeys. Brokers take any key of their own, for plugins
/// (`DynamicBrokerConfig`), and let any key be deleted: their answer says that all is well.
fn unknown_key(owner: &ConfigOwner, name: &str) -> Option<String> {
    let (is_known, nearest) = match owner {
        ConfigOwner::Topic(_) => {
            (keys::topic_key(name).is_some(), keys::nearest_key(name, keys::topic_keys()))
        }
        ConfigOwner::Broker(_) => {
            (keys::dynamic_key(name).is_some() || keys::is_future_key(name), keys::nearest_broker_key(name))
        }
        ConfigOwner::Group(_) => {
            (keys::group_key(name).is_some(), keys::nearest_key(name, keys::group_keys()))
        }
    };
    let meant = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
    (!is_known).then(|| format!("unknown key {name}: no part of Corelog obeys it{meant}"))
}

fn operations(args: ChangeArgs) -> Vec<(String, ConfigOperation)> {
    let set = args.set.into_iter().map(|(key, value)| (key, ConfigOperation::Set(value)));
    let delete = args.delete.into_iter().map(|key| (key, ConfigOperation::Delete));
    let append = args.append.into_iter().map(|(key, value)| (key, ConfigOperation::Append(value)));
    let subtract = args.subtract.into_iter().map(|(key, value)| (key, ConfigOperation::Subtract(value)));
    set.chain(delete).chain(append).chain(subtract).collect()
}

fn owner(kind: OwnerArg, name: Option<&str>) -> Result<ConfigOwner, CliError> {
    match (kind, name) {
        (OwnerArg::Topic, Some(name)) => Ok(ConfigOwner::Topic(name.to_owned())),
        (OwnerArg::Group, Some(name)) => Ok(ConfigOwner::Group(name.to_owned())),
        (OwnerArg::Broker, None) => Ok(ConfigOwner::Broker(None)),
        (OwnerArg::Broker, Some(id)) => id
            .parse()
            .map(|id| ConfigOwner::Broker(Some(id)))
            .map_err(|_| CliError::usage(format!("'{id}' is no broker id; expected a number"))),
        (OwnerArg::Topic | OwnerArg::Group, None) => {
            Err(CliError::usage("NAME is missing: which topic or group is meant?"))
        }
    }
}

fn source_name(code: i8) -> &'static str {
    ConfigSource::from_code(code).map_or("UNKNOWN", ConfigSource::name)
}

fn as_text(value: &ConfigValue) -> String {
    let text = match (&value.value, value.is_sensitive) {
        (_, true) => "(secret)",
        (Some(text), false) => text,
        (None, false) => "null",
    };
    format!("{}={text}\tSource: {}\n", value.name, source_name(value.source))
}

fn as_json(value: &ConfigValue) -> Value {
    json!({
        "name": value.name,
        "value": value.value,
        "source": source_name(value.source),
        "sensitive": value.is_sensitive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_named_as_they_are_on_the_command_line() {
        assert_eq!(owner(OwnerArg::Broker, None), Ok(ConfigOwner::Broker(None)));
        assert_eq!(owner(OwnerArg::Broker, Some("3")), Ok(ConfigOwner::Broker(Some(3))));
        assert_eq!(owner(OwnerArg::Topic, Some("t")), Ok(ConfigOwner::Topic("t".to_owned())));
        for (kind, name) in [(OwnerArg::Broker, Some("x")), (OwnerArg::Topic, None), (OwnerArg::Group, None)]
        {
            assert!(matches!(owner(kind, name), Err(CliError::Usage(_))), "{kind:?} {name:?}");
        }
    }

    #[test]
    fn unknown_keys_are_told_with_what_may_be_meant() {
        let (topic, group) = (ConfigOwner::Topic("t".to_owned()), ConfigOwner::Group("g".to_owned()));
        let all = ConfigOwner::Broker(None);
        for (owner, known) in [
            (&topic, "retention.ms"),
            (&all, "log.retention.ms"),
            (&all, "leader.replication.throttled.rate"),
            (&all, "ssl.keystore.location"),
            (&group, "share.auto.offset.reset"),
        ] {
            assert_eq!(unknown_key(owner, known), None);
        }
        let cases = [
            (&topic, "retention.mss", "; did you mean retention.ms?"),
            (&all, "log.retention.mss", "; did you mean log.retention.ms?"),
            (&group, "share.auto.offset.rest", "; did you mean share.auto.offset.reset?"),
            (&all, "utterly.different.thing", ""),
        ];
        for (owner, name, meant) in cases {
            let expected = format!("unknown key {name}: no part of Corelog obeys it{meant}");
            assert_eq!(unknown_key(owner, name), Some(expected));
        }
    }

    #[test]
    fn values_are_printed_with_their_source() {
        let value = |text: Option<&str>, is_sensitive| ConfigValue {
            name: "k".to_owned(),
            value: text.map(str::to_owned),
            source: 1,
            is_sensitive,
        };
        assert_eq!(as_text(&value(Some("7"), false)), "k=7\tSource: DYNAMIC_TOPIC_CONFIG\n");
        assert_eq!(as_text(&value(None, false)), "k=null\tSource: DYNAMIC_TOPIC_CONFIG\n");
        assert_eq!(as_text(&value(None, true)), "k=(secret)\tSource: DYNAMIC_TOPIC_CONFIG\n");
    }
}
