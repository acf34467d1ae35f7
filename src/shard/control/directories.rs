//! The broker's log directories: finding them, formatting new ones, refusing foreign ones.
//!
//! Every entry of `log.dirs` has a `meta.properties` of its own and holds `shard-NN` directories, each a
//! Kafka log directory with its own id. Directory NN lives in entry `NN % entries`, so that devices get
//! directories in turn. There is at least one directory per shard and per entry; those of an earlier start
//! with more shards stay and are dealt out as well.

use std::path::{Path, PathBuf};

use super::Directory;
use crate::config::BrokerConfig;
use crate::disk::{Disk, DiskError};
use crate::log::{LogDir, LogError, MetaProperties};
use crate::types::{NodeId, Prng, TopicPartition, Uuid};

/// Names that may be in a directory that was never formatted.
const HARMLESS: [&str; 2] = [".lock", "lost+found"];
const SHARD_PREFIX: &str = "shard-";

/// Why the log directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The directory holds something that is not ours.
    #[error(
        "log.dirs={}: the directory is not empty ('{found}') and has no meta.properties, so it does not \
         belong to Corelog; name an empty directory, or remove what is in it", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The directory is Apache Kafka's.
    #[error(
        "log.dirs={}: the directory holds '{found}' of another broker, such as Apache Kafka; Corelog keeps \
         partitions below {SHARD_PREFIX}NN and cannot take over such a directory", path.display()
    )]
    OtherBroker {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// A file of a directory cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The directory belongs to another cluster.
    #[error(
        "{}: cluster.id={found}, expected {expected}{}; the directory belongs to another cluster",
        path.display(), origin
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The id in its `meta.properties`.
        found: String,
        /// The id expected.
        expected: String,
        /// Where the expected id comes from.
        origin: String,
    },
    /// The directory belongs to another node.
    #[error("{}: node.id={found}, but this broker has node.id={expected}", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// The id in its `meta.properties`.
        found: i32,
        /// The configured id.
        expected: i32,
    },
}

/// The log directories of this broker, found or made.
#[derive(Debug)]
pub(super) struct Directories {
    pub(super) cluster_id: String,
    /// In the order of their numbers.
    pub(super) shards: Vec<Directory>,
    /// Whether every directory that was there before was shut down cleanly.
    pub(super) is_clean: bool,
    /// A directory that holds partitions already.
    pub(super) with_partitions: Option<PathBuf>,
}

/// Finds the directories of `config.log_dirs`, and formats what is missing for `shard_count` shards.
pub(super) async fn prepare<D: Disk>(
    disk: &D,
    config: &BrokerConfig,
    shard_count: usize,
    prng: &mut Prng,
) -> Result<Directories, DirectoryError> {
    let roots = &config.log_dirs;
    let mut identity = Identity::new(config);
    let mut unformatted = Vec::new();
    let mut found = Vec::new();
    let mut is_clean = true;
    for root in roots {
        disk.create_dir_all(root).await?;
        match MetaProperties::read(disk, root).await? {
            Some(meta) => identity.check(root, &meta)?,
            None => unformatted.push(root.clone()),
        }
        for entry in disk.list(root).await? {
            match shard_number(&entry.name).filter(|_| entry.is_dir) {
                Some(number) => found.push((number, root.join(&entry.name))),
                None => check_harmless(root, &entry.name, unformatted.last() == Some(root))?,
            }
        }
    }
    let mut shards = Vec::new();
    let mut with_partitions = None;
    for (number, path) in found {
        match MetaProperties::read(disk, &path).await? {
            Some(meta) => {
                identity.check(&path, &meta)?;
                is_clean &= LogDir::is_clean(disk, &path).await?;
                let entries = disk.list(&path).await?;
                if entries.iter().any(|entry| TopicPartition::from_dir_name(&entry.name).is_some()) {
                    with_partitions = Some(path.clone());
                }
                shards.push((number, Directory { id: meta.directory_id, path }));
            }
            // Its formatting was cut short by a crash: there can be nothing in it.
            None => {
                let id = identity.format(disk, &path, prng).await?;
                shards.push((number, Directory { id, path }));
            }
        }
    }
    for number in 0..shard_count.max(roots.len()) {
        if shards.iter().any(|(taken, _)| *taken == number) {
            continue;
        }
        let path = roots[number % roots.len()].join(format!("{SHARD_PREFIX}{number:02}"));
        let id = identity.format(disk, &path, prng).await?;
        shards.push((number, Directory { id, path }));
    }
    // Last: a directory without this file is taken for unformatted, and may be formatted again.
    for root in unformatted {
        identity.format(disk, &root, prng).await?;
    }
    shards.sort_by_key(|(number, _)| *number);
    let cluster_id = identity.cluster_id(prng);
    let shards = shards.into_iter().map(|(_, shard)| shard).collect();
    Ok(Directories { cluster_id, shards, is_clean, with_partitions })
}

/// Who the directories belong to. The cluster id comes from the configuration, else from the first formatted
/// directory, else it is made.
struct Identity {
    node_id: NodeId,
    cluster_id: Option<String>,
    origin: String,
}

impl Identity {
    fn new(config: &BrokerConfig) -> Self {
        let origin = " from corelog.cluster.id".to_owned();
        Self { node_id: config.node_id, cluster_id: config.cluster_id.clone(), origin }
    }

    fn check(&mut self, path: &Path, meta: &MetaProperties) -> Result<(), DirectoryError> {
        if meta.node_id != self.node_id {
            let (found, expected) = (meta.node_id.0, self.node_id.0);
            return Err(DirectoryError::OtherNode { path: path.to_owned(), found, expected });
        }
        match &self.cluster_id {
            Some(expected) if *expected != meta.cluster_id => Err(DirectoryError::OtherCluster {
                path: path.to_owned(),
                found: meta.cluster_id.clone(),
                expected: expected.clone(),
                origin: self.origin.clone(),
            }),
            Some(_) => Ok(()),
            None => {
                self.cluster_id = Some(meta.cluster_id.clone());
                self.origin = format!(" as in {}", path.display());
                Ok(())
            }
        }
    }

    fn cluster_id(&mut self, prng: &mut Prng) -> String {
        self.cluster_id.get_or_insert_with(|| random_uuid(prng).to_string()).clone()
    }

    async fn format<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        prng: &mut Prng,
    ) -> Result<Uuid, DirectoryError> {
        disk.create_dir_all(path).await?;
        let meta = MetaProperties {
            cluster_id: self.cluster_id(prng),
            node_id: self.node_id,
            directory_id: random_uuid(prng),
        };
        meta.write(disk, path).await?;
        if let Some(parent) = path.parent() {
            disk.sync_dir(parent).await?;
        }
        tracing::info!(
            target: "control", dir = %path.display(), cluster_id = meta.cluster_id, node_id = %meta.node_id,
            directory_id = %meta.directory_id, "formatted"
        );
        Ok(meta.directory_id)
    }
}

pub(super) fn random_uuid(prng: &mut Prng) -> Uuid {
    loop {
        let bits = u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64());
        if let Some(id) = Uuid::from_random(bits) {
            return id;
        }
    }
}

fn shard_number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix(SHARD_PREFIX)?;
    (2 <= digits.len() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn check_harmless(root: &Path, name: &str, is_unformatted: bool) -> Result<(), DirectoryError> {
    let path = root.to_owned();
    let found = name.to_owned();
    if is_unformatted && !HARMLESS.contains(&name) && !name.ends_with(".tmp") {
        return Err(DirectoryError::Foreign { path, found });
    }
    let is_partition = TopicPartition::from_dir_name(name).is_some();
    if !is_unformatted && is_partition && !name.starts_with(super::meta_log::METADATA_TOPIC) {
        return Err(DirectoryError::OtherBroker { path, found });
    }
    Ok(())
}
