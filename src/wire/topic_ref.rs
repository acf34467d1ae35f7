//! What Produce and Fetch have in common: how they name topics and say who leads.

use bytes::{BufMut, Bytes};

use crate::types::{LeaderEpoch, NodeId, TopicId, Uuid};

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

impl TopicRef {
    pub(super) fn take(bytes: &mut Bytes, form: Form, is_by_id: bool) -> Result<Self, WireError> {
        match is_by_id {
            true => take_u128(bytes).map(|bits| Self::Id(Uuid(bits))),
            false => form.take_string(bytes).map(Self::Name),
        }
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
