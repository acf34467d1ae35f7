//! What a search for the topics of a group's patterns has found (`handleRegularExpressionsResult`).

use super::group::ConsumerGroup;
use super::heartbeat::{View, epoch_record};
use super::metadata_hash::metadata_hash;
use super::records::ConsumerGroupRecord;
use super::regex::TopicSearch;

impl ConsumerGroup {
    /// Takes over what was found. Topics that come or go begin a new epoch.
    pub(super) fn take_over(&self, view: View<'_>, search: TopicSearch) -> Vec<ConsumerGroupRecord> {
        let mut records = Vec::new();
        let mut census = self.census.clone();
        let mut needs_epoch = false;
        for (regex, found) in search.into_resolved() {
            if self.census.regexes.count(&regex) == 0 {
                continue;
            }
            let earlier = self.resolved.get(&regex);
            if earlier.map(|earlier| &earlier.topics).unwrap_or(&Default::default()) != &found.topics {
                needs_epoch = true;
            }
            earlier.into_iter().for_each(|earlier| census.remove_resolved(earlier));
            census.add_resolved(&found);
            let value = Some(found.to_record());
            records.push(ConsumerGroupRecord::RegularExpression { regex, value });
        }
        let hash = metadata_hash(view.image, census.topics.names());
        if needs_epoch || hash != self.metadata_hash {
            records.push(epoch_record(self.epoch + 1, hash));
        }
        records
    }
}
