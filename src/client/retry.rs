//! Asking again when the broker says that the moment is wrong.

use std::time::Duration;

use super::error::ClientError;
use crate::rt::time;
use crate::types::ErrorCode;

/// How often a request is sent at most.
const ATTEMPTS_MAX: usize = 50;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends a request until it is answered with anything but a [passing](ClientError::is_passing) refusal, for
/// some five seconds. The last refusal is returned.
pub async fn retrying<T>(mut request: impl AsyncFnMut() -> Result<T, ClientError>) -> Result<T, ClientError> {
    for _ in 1..ATTEMPTS_MAX {
        match request().await {
            Err(error) if error.is_passing() => time::sleep(PAUSE).await,
            other => return other,
        }
    }
    request().await
}

impl ClientError {
    /// Whether the broker did nothing and may well do it a moment later: a leader or coordinator that is
    /// about to take over, as right after a topic was created.
    pub fn is_passing(&self) -> bool {
        let Self::Refused { refusal, .. } = self else { return false };
        matches!(
            refusal.error_code(),
            Some(
                ErrorCode::LeaderNotAvailable
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::NotCoordinator
                    | ErrorCode::NotController
                    | ErrorCode::OffsetNotAvailable
            )
        )
    }
}
