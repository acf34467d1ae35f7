//! The uniform assignor where all members are subscribed to the same topics.
//!
//! Balance comes before stickiness: no two members differ by more than one partition, and among the targets
//! of that kind one with the fewest moves is chosen.

use super::owners::Owners;
use super::{Assignment, GroupSpec};
use crate::types::TopicId;

/// A member that may get more partitions.
struct Unfilled {
    member: usize,
    places: usize,
}

/// `UniformHomogeneousAssignmentBuilder`
pub(super) fn assign(spec: &GroupSpec<'_>) -> Vec<Assignment> {
    let mut owners = Owners::of_previous_target(spec);
    let mut unassigned: Vec<_> = owners.vacant().collect();
    let unfilled = revoke_beyond_quota(spec, &mut owners, &mut unassigned);

    let places = unfilled.iter().flat_map(|unfilled| std::iter::repeat_n(unfilled.member, unfilled.places));
    let mut handed_out = 0;
    for (&(topic, partition), member) in unassigned.iter().zip(places) {
        owners.put(topic, partition, Some(member));
        handed_out += 1;
    }
    assert_eq!(handed_out, unassigned.len(), "the quotas add up to all partitions");
    owners.into_assignments(spec.members.len())
}

/// Takes from each member what exceeds its quota, and tells who has places left.
fn revoke_beyond_quota(
    spec: &GroupSpec<'_>,
    owners: &mut Owners,
    unassigned: &mut Vec<(TopicId, i32)>,
) -> Vec<Unfilled> {
    let member_count = spec.members.len();
    let partition_count = owners.iter().count();
    // So many members get one partition more than the others.
    let mut extra_places = partition_count % member_count;
    let mut unfilled = Vec::new();
    for (index, member) in spec.members.iter().enumerate() {
        let mut has_extra = 0 < extra_places;
        let mut places = partition_count / member_count + usize::from(has_extra);
        for (topic, partition) in member.assigned.iter() {
            if owners.owner(topic, partition) != Some(index) {
                continue;
            }
            if 0 < places {
                places -= 1;
            } else {
                owners.put(topic, partition, None);
                unassigned.push((topic, partition));
            }
        }
        // An extra place that is empty is left to a later member that may fill it with what it owns already,
        // unless there are only as many members left as places.
        if 0 < places && has_extra && extra_places < member_count - index {
            places -= 1;
            has_extra = false;
        }
        if 0 < places {
            unfilled.push(Unfilled { member: index, places });
        }
        extra_places -= usize::from(has_extra);
    }
    unfilled
}
