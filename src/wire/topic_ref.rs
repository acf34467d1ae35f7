//! What Produce and Fetch have in common: how they name topics and say who leads.

use std::fmt;

use bytes::{BufMut, Bytes};

use crate::types::{LeaderEpoch, NodeId, TopicId, TopicName, Uuid};

use super::WireError;
use super::messages::StrBytes;
use super::primitives::{Form, put_uvarint, take_u128};

/// How a request names a topic: by id from Produce 13 and Fetch 13 on (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name, as the client wrote it.
    Name(StrBytes),
    /// By id.
    Id(TopicId),
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Escaped: a client may write anything.
            Self::Name(name) => write!(f, "{:?}", name.as_str()),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl TopicRef {
    pub(super) fn take(bytes: &mut Bytes, form: Form, is_by_id: bool) -> Result<Self, WireError> {
        match is_by_id {
            true => take_u128(bytes).map(|bits| Self::Id(Uuid(bits))),
            false => form.take_string(bytes).map(Self::Name),
        }
    }

    /// The length of the topic's array of partitions, taken off what one request may name. Where the name is
    /// longer than that of any topic, each counts for as many as such names would be: a handler goes over
    /// the name for each of its partitions.
    pub(super) fn take_partition_count(
        &self,
        bytes: &mut Bytes,
        form: Form,
        element_len_min: usize,
        partitions_left: &mut usize,
    ) -> Result<usize, WireError> {
        let count = form.take_partition_count(bytes, element_len_min, partitions_left)?;
        let surplus = match self {
            Self::Name(name) => count * (name.len().saturating_sub(1) / TopicName::LENGTH_MAX),
            Self::Id(_) => 0,
        };
        *partitions_left = partitions_left
            .checked_sub(surplus)
            .ok_or(WireError::TooManyElements { max: *partitions_left, found: surplus })?;
        Ok(count)
    }

    /// Appends what the version of `form` names topics by. A response names them as its request did.
    pub(super) fn put(&self, out: &mut impl BufMut, form: Form, is_by_id: bool) {
        match self {
            Self::Name(name) if !is_by_id => form.put_string(out, name),
            Self::Id(id) if is_by_id => out.put_u128(id.0),
            _ => panic!("{self:?} in a response whose version names topics by id: {is_by_id}"),
        }
    }
}

/// The partition's leader, for a client that asked someone else (KIP-951).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentLeader {
    /// The leader, or -1 when there is none.
    pub leader_id: NodeId,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
}

impl CurrentLeader {
    pub(super) fn put_tag(self, out: &mut impl BufMut, tag: u32) {
        put_uvarint(out, tag);
        put_uvarint(out, 9);
        out.put_i32(self.leader_id.0);
        out.put_i32(self.leader_epoch.0);
        out.put_u8(0);
    }
}

/// Where a leader named in the same response listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// The broker.
    pub node_id: NodeId,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

impl NodeEndpoint {
    /// Ends a response: its tagged fields, which are these endpoints with tag 0, or none.
    pub(super) fn put_all(endpoints: &[Self], out: &mut impl BufMut, form: Form) {
        if endpoints.is_empty() {
            return form.put_no_tags(out);
        }
        let mut field = Vec::new();
        form.put_array_len(&mut field, endpoints.len());
        for endpoint in endpoints {
            field.put_i32(endpoint.node_id.0);
            form.put_string(&mut field, &endpoint.host);
            field.put_i32(endpoint.port.into());
            form.put_nullable_string(&mut field, endpoint.rack.as_deref());
            form.put_no_tags(&mut field);
        }
        put_uvarint(out, 1);
        put_uvarint(out, 0);
        put_uvarint(out, field.len() as u32);
        out.put_slice(&field);
    }
}

#[cfg(test)]
mod tests {
    use super::super::primitives::PARTITIONS_MAX;
    use super::*;

    #[test]
    fn a_long_name_counts_for_several() {
        let form = Form { is_flexible: true };
        let left = |name_len: usize| {
            let topic = TopicRef::Name(StrBytes::from_string("x".repeat(name_len)));
            let mut array = Vec::new();
            form.put_array_len(&mut array, 2_000);
            array.resize(4 * 2_000 + 2, 0);
            let mut left = PARTITIONS_MAX;
            let count = topic.take_partition_count(&mut array.into(), form, 4, &mut left)?;
            assert_eq!(count, 2_000);
            Ok(left)
        };
        assert_eq!(left(0), Ok(PARTITIONS_MAX - 2_000));
        assert_eq!(left(TopicName::LENGTH_MAX), Ok(PARTITIONS_MAX - 2_000));
        assert_eq!(left(TopicName::LENGTH_MAX + 1), Ok(PARTITIONS_MAX - 2 * 2_000));
        assert!(matches!(left(32_767), Err(WireError::TooManyElements { .. })));
    }
}
