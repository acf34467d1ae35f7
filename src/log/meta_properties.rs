//! `meta.properties`: whose log directory this is, so that it is not taken for another's.

use std::path::Path;

use crate::disk::{Disk, DiskError};
use crate::types::{DirectoryId, NodeId};

use super::error::LogError;

const NAME: &str = "meta.properties";
const BYTES_MAX: usize = 64 * 1024;

/// `meta.properties`, version 1: who a log directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker's id.
    pub node_id: NodeId,
    /// The directory's own id (KIP-858).
    pub directory_id: DirectoryId,
}

impl MetaProperties {
    /// Reads the file of a log directory; `None` where there is none.
    pub async fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Self>, LogError> {
        let file = dir.join(NAME);
        let contents = match disk.read_file(&file, BYTES_MAX).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        match parse(&contents) {
            Ok(meta) => Ok(Some(meta)),
            Err(reason) => Err(LogError::Corrupt { file, position: 0, reason }),
        }
    }

    /// Writes the file, durably.
    pub async fn write<D: Disk>(&self, disk: &D, dir: &Path) -> Result<(), DiskError> {
        disk.replace_file(&dir.join(NAME), format(self).as_bytes()).await
    }
}

fn format(meta: &MetaProperties) -> String {
    format!(
        "version=1\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
        meta.cluster_id, meta.node_id, meta.directory_id
    )
}

fn parse(contents: &[u8]) -> Result<MetaProperties, String> {
    let text = std::str::from_utf8(contents).map_err(|_| "the file is not text".to_owned())?;
    let value = |key: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
        let mut pairs = lines.filter_map(|line| line.split_once('='));
        let found = pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
        found.ok_or_else(|| format!("no {key} in it"))
    };
    let invalid = |key: &str, value: &str| format!("{key}={value} is not valid");
    match value("version")? {
        "1" => {}
        other => return Err(format!("version {other}, expected 1")),
    }
    let (node_id, directory_id) = (value("node.id")?, value("directory.id")?);
    Ok(MetaProperties {
        cluster_id: value("cluster.id")?.to_owned(),
        node_id: NodeId(node_id.parse().map_err(|_| invalid("node.id", node_id))?),
        directory_id: directory_id.parse().map_err(|_| invalid("directory.id", directory_id))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_file_is_read() {
        let text = "#\n#Sat Nov 21 09:00:00 UTC 2026\ncluster.id=5L6g3nShT-eMCtK--X86sw\n\
                    directory.id=MkU3OEVBNTcwNTJENDM2Qg\nnode.id=3\nversion=1\n";
        let meta = parse(text.as_bytes()).unwrap();
        assert_eq!((meta.cluster_id.as_str(), meta.node_id), ("5L6g3nShT-eMCtK--X86sw", NodeId(3)));
        assert_eq!(parse(format(&meta).as_bytes()), Ok(meta));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "no version in it"),
            ("version=0\n", "version 0, expected 1"),
            ("version=1\nnode.id=1\n", "no directory.id in it"),
            (
                "version=1\ncluster.id=a\nnode.id=x\ndirectory.id=MkU3OEVBNTcwNTJENDM2Qg\n",
                "node.id=x is not valid",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(expected.to_owned()));
        }
    }
}
