//! `partition.metadata`: the topic id of a partition's directory (`PartitionMetadataFile`).

use std::path::Path;

use crate::disk::Disk;
use crate::types::{TopicId, Uuid};

use super::error::LogError;

const NAME: &str = "partition.metadata";
const BYTES_MAX: usize = 4096;

/// Writes the file, durably. A directory that is another topic's is `Corrupt`.
pub(super) async fn claim<D: Disk>(disk: &D, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    let file = dir.join(NAME);
    if let Some(found) = read(disk, dir).await?.filter(|found| *found != topic_id) {
        let reason = format!("topic id {found}, expected {topic_id}");
        return Err(LogError::Corrupt { file, position: 0, reason });
    }
    Ok(disk.replace_file(&file, format(topic_id).as_bytes()).await?)
}

/// Reads the file; `None` where there is none.
pub(super) async fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Option<TopicId>, LogError> {
    let file = dir.join(NAME);
    let contents = match disk.read_file(&file, BYTES_MAX).await {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    match parse(&contents) {
        Some(topic_id) => Ok(Some(topic_id)),
        None => Err(LogError::Corrupt { file, position: 0, reason: "no topic id in it".to_owned() }),
    }
}

/// No newline at the end, as Kafka leaves it.
fn format(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

fn parse(contents: &[u8]) -> Option<TopicId> {
    let mut lines = std::str::from_utf8(contents).ok()?.lines();
    let version: i32 = lines.next()?.strip_prefix("version:")?.trim().parse().ok()?;
    let topic_id: Uuid = lines.next()?.strip_prefix("topic_id:")?.trim().parse().ok()?;
    (0 <= version && topic_id != Uuid::ZERO).then_some(topic_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_kafkas() {
        let topic_id: Uuid = "MkU3OEVBNTcwNTJENDM2Qg".parse().unwrap();
        let text = "version: 0\ntopic_id: MkU3OEVBNTcwNTJENDM2Qg";
        assert_eq!(format(topic_id), text);
        assert_eq!(parse(text.as_bytes()), Some(topic_id));
        for bad in
            ["", "version: 0", "version: 0\ntopic_id: x", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
