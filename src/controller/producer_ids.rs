//! Blocks of producer ids (`ProducerIdControlManager`).

use super::Controller;
use super::events::{AllocateProducerIds, ApiError, ProducerIdBlock, Response, Token};
use crate::metadata::records::ProducerIdsRecord;
use crate::types::{ErrorCode, ProducerId};

/// `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
pub const PRODUCER_ID_BLOCK_SIZE: i32 = 1_000;

impl Controller {
    /// Gives a broker a block of producer ids that nobody had before. A block that is lost on the way, or
    /// in a crash, is gone: ids are plenty.
    pub fn handle_allocate_producer_ids(&mut self, token: Token, request: AllocateProducerIds) {
        let planned = self.plan_producer_ids(request);
        let response = planned.map(|(block, record)| {
            self.append(vec![record.into()]);
            block
        });
        self.reply(token, Response::AllocateProducerIds(response));
    }

    fn plan_producer_ids(
        &self,
        request: AllocateProducerIds,
    ) -> Result<(ProducerIdBlock, ProducerIdsRecord), ApiError> {
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        let first = self.image.next_producer_id();
        let next = first.0.checked_add(PRODUCER_ID_BLOCK_SIZE.into()).ok_or_else(|| {
            ApiError::new(ErrorCode::UnknownServerError, format!("no producer ids are left after {first}"))
        })?;
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id: ProducerId(next),
        };
        Ok((ProducerIdBlock { first, count: PRODUCER_ID_BLOCK_SIZE }, record))
    }
}
