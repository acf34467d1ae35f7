//! DescribeCluster.

use kafka_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest};
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use super::operations::Resource;
use crate::server::Server;
use crate::types::ErrorCode;

/// `DescribeClusterRequest.endpointType`: brokers.
const ENDPOINT_TYPE_BROKERS: i8 = 1;

impl Server {
    pub(in crate::server) fn describe_cluster(
        &self,
        context: &RequestContext,
        request: &DescribeClusterRequest,
    ) -> DescribeClusterResponse {
        let image = self.shard().image();
        let response = DescribeClusterResponse::default()
            .with_cluster_id(StrBytes::from_string(image.cluster_id().to_string()))
            .with_endpoint_type(request.endpoint_type)
            .with_cluster_authorized_operations(
                Resource::Cluster.operations_if(request.include_cluster_authorized_operations),
            );
        if request.endpoint_type != ENDPOINT_TYPE_BROKERS {
            let text = format!(
                "endpoint type {} was asked of a broker listener, which serves type {ENDPOINT_TYPE_BROKERS}",
                request.endpoint_type
            );
            return response
                .with_error_code(ErrorCode::MismatchedEndpointType.code())
                .with_error_message(Some(StrBytes::from_string(text)));
        }
        let brokers = image
            .brokers()
            .filter(|broker| request.include_fenced_brokers || !broker.fenced)
            .filter_map(|broker| {
                let endpoint = broker.endpoint(&context.listener.name)?;
                Some(
                    DescribeClusterBroker::default()
                        .with_broker_id(BrokerId(broker.id.0))
                        .with_host(StrBytes::from_string(endpoint.host.clone()))
                        .with_port(i32::from(endpoint.port))
                        .with_rack(broker.rack.clone().map(StrBytes::from_string))
                        .with_is_fenced(broker.fenced),
                )
            })
            .collect();
        response.with_controller_id(BrokerId(self.shard().node_id().0)).with_brokers(brokers)
    }
}
