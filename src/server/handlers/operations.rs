//! What a client may do with a resource, as the bit fields of KIP-430.
//!
//! There is no authorizer: as in Kafka without one, everybody may do whatever can be done to a resource
//! (`AuthHelper.authorizedOperations`, `AclEntry.supportedOperations`).

/// "Not asked for", the default in the schemas.
pub(super) const OPERATIONS_NOT_REQUESTED: i32 = i32::MIN;

// The codes of `AclOperation`.
const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

/// A kind of resource that operations are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Topic,
    Group,
    Cluster,
}

impl Resource {
    /// Everything that can be done to it.
    pub(super) fn operations(self) -> i32 {
        let codes: &[u32] = match self {
            Self::Topic => &[READ, WRITE, CREATE, DESCRIBE, DELETE, ALTER, DESCRIBE_CONFIGS, ALTER_CONFIGS],
            Self::Group => &[READ, DESCRIBE, DELETE, DESCRIBE_CONFIGS, ALTER_CONFIGS],
            Self::Cluster => {
                &[CREATE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE, ALTER, DESCRIBE]
            }
        };
        codes.iter().fold(0, |field, code| field | 1 << code)
    }

    /// The same for who asked for it.
    pub(super) fn operations_if(self, asked: bool) -> i32 {
        if asked { self.operations() } else { OPERATIONS_NOT_REQUESTED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kafkas() {
        // As Apache Kafka 4.3.1 answers without an authorizer.
        let expected = [(Resource::Topic, 3_576), (Resource::Group, 3_400), (Resource::Cluster, 8_096)];
        for (resource, field) in expected {
            assert_eq!(resource.operations(), field, "{resource:?}");
        }
        assert_eq!(Resource::Topic.operations_if(false), i32::MIN);
    }
}
