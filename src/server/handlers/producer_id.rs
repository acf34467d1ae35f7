//! InitProducerId: ids for idempotent producers, out of blocks that control hands to each shard.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId as WireProducerId};

use crate::controller::Response;
use crate::server::Server;
use crate::server::errors::control_error_code;
use crate::shard::ControlRequest;
use crate::types::{ErrorCode, ProducerId};

impl Server {
    pub(in crate::server) async fn init_producer_id(
        &self,
        request: InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let refused = |error: ErrorCode| {
            InitProducerIdResponse::default()
                .with_error_code(error.code())
                .with_producer_id(WireProducerId(-1))
                .with_producer_epoch(-1)
        };
        // One without the other (`KafkaApis.handleInitProducerIdRequest`).
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return refused(ErrorCode::InvalidRequest);
        }
        match &request.transactional_id {
            // There is no transaction coordinator yet; clients retry on this error.
            Some(id) if !id.is_empty() => return refused(ErrorCode::CoordinatorNotAvailable),
            Some(_) => return refused(ErrorCode::InvalidRequest),
            None => {}
        }
        // An idempotent producer that asks again, even with its old id, gets a new one
        // (`TransactionCoordinator.handleInitProducerId`).
        match self.next_producer_id().await {
            Ok(id) => InitProducerIdResponse::default()
                .with_producer_id(WireProducerId(id.0))
                .with_producer_epoch(0),
            Err(error) => refused(error),
        }
    }

    async fn next_producer_id(&self) -> Result<ProducerId, ErrorCode> {
        loop {
            let (next, end) = self.producer_ids.get();
            if next < end {
                self.producer_ids.set((ProducerId(next.0 + 1), end));
                return Ok(next);
            }
            // Two connections may ask at once: the block that comes second replaces the first, whose rest
            // is never used. Ids are plentiful.
            match self.shard().ask_control(ControlRequest::AllocateProducerIds).await {
                Ok(Response::AllocateProducerIds(Ok(block))) => {
                    self.producer_ids.set((block.first, ProducerId(block.first.0 + i64::from(block.count))));
                }
                Ok(Response::AllocateProducerIds(Err(error))) => return Err(error.code),
                Ok(other) => panic!("control answered a request for producer ids with {other:?}"),
                Err(error) => return Err(control_error_code(&error)),
            }
        }
    }
}
