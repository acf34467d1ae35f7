//! A member of a classic group.

use std::time::Duration;

use bytes::Bytes;

use crate::group::events::{DescribedMember, JoinGroup, JoinProtocol, JoinedMember, Token};
use crate::group::records::MemberMetadata;

/// A member with what it can do, what it was assigned, and what it waits for.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    /// `group.instance.id`: a static member, which keeps its place while it restarts.
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// The best first.
    pub(super) protocols: Vec<JoinProtocol>,
    pub(super) assignment: Bytes,
    /// The JoinGroup that waits for the next generation.
    pub(super) awaiting_join: Option<Token>,
    /// The SyncGroup that waits for the assignment.
    pub(super) awaiting_sync: Option<Token>,
    /// The member has not been in a generation yet; it may be gone before it ever knew its id.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn joining(id: String, request: JoinGroup) -> Self {
        Self {
            id,
            group_instance_id: request.group_instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// A member as the log knows it. Of its protocols only the chosen one is kept there.
    pub(super) fn loaded(member: &MemberMetadata, protocol: &str) -> Self {
        let MemberMetadata { rebalance_timeout_ms, session_timeout_ms, .. } = *member;
        Self {
            id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout_ms,
            rebalance_timeout_ms: if rebalance_timeout_ms < 0 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            protocols: vec![JoinProtocol {
                name: protocol.to_owned(),
                metadata: member.subscription.clone(),
            }],
            assignment: member.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    pub(super) fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// What the member said with a protocol; empty when it does not know the protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|candidate| candidate.name == protocol);
        found.map(|candidate| candidate.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|candidate| candidate.name == protocol)
    }

    pub(super) fn as_joined(&self, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    pub(super) fn as_record(&self, protocol: &str, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub(super) fn described(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol.map(|protocol| self.metadata(protocol)).unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }
}

/// A time from the wire; below zero is none.
pub(super) fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}
