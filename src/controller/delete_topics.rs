//! Deleting topics (`ControllerApis.deleteTopics`).

use std::collections::BTreeMap;

use super::events::{ApiError, DeleteTopicResult, DeleteTopics, Response, Token, TopicReference};
use super::{Controller, check_operation_size};
use crate::metadata::records::RemoveTopicRecord;
use crate::metadata::{MetadataImage, TopicImage};
use crate::types::{ErrorCode, Uuid};

impl Controller {
    /// Deletes topics by name or id, each on its own.
    pub fn handle_delete_topics(&mut self, token: Token, request: &DeleteTopics) {
        let mut results = if self.broker.topic_creation.delete_enable {
            plan(&self.image, request)
        } else {
            refuse_all(request)
        };
        let deleted = results.iter().filter(|result| result.result.is_ok());
        let records: Vec<_> =
            deleted.map(|result| RemoveTopicRecord { topic_id: result.id }.into()).collect();
        match check_operation_size(&records) {
            Ok(()) => self.append(records),
            Err(error) => results.iter_mut().for_each(|result| result.result = Err(error.clone())),
        }
        self.reply(token, Response::DeleteTopics(results));
    }
}

fn refuse_all(request: &DeleteTopics) -> Vec<DeleteTopicResult> {
    let disabled = || ApiError::new(ErrorCode::TopicDeletionDisabled, "delete.topic.enable is false");
    let results = request.topics.iter().cloned();
    results
        .map(|TopicReference { name, id }| DeleteTopicResult { name, id, result: Err(disabled()) })
        .collect()
}

/// One result per different reference, in the order of the request.
fn plan(image: &MetadataImage, request: &DeleteTopics) -> Vec<DeleteTopicResult> {
    // How often each topic is meant, and each name or id given.
    let mut meant: BTreeMap<Uuid, u32> = BTreeMap::new();
    let mut given: BTreeMap<(Option<&str>, Uuid), u32> = BTreeMap::new();
    for topic in &request.topics {
        *given.entry((topic.name.as_deref(), topic.id)).or_default() += 1;
        if let Ok(found) = find(image, topic) {
            *meant.entry(found.id()).or_default() += 1;
        }
    }
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let mut results = Vec::new();
    for topic in &request.topics {
        let Some(times) = given.remove(&(topic.name.as_deref(), topic.id)) else { continue };
        let (name, id) = (topic.name.clone(), topic.id);
        results.push(match find(image, topic) {
            _ if 1 < times => {
                DeleteTopicResult { name, id, result: invalid("the request names this topic more than once") }
            }
            Err(error) => DeleteTopicResult { name, id, result: Err(error) },
            Ok(found) if 1 < meant[&found.id()] => DeleteTopicResult {
                name,
                id,
                result: invalid("the request gives both name and id of this topic"),
            },
            Ok(found) => {
                DeleteTopicResult { name: Some(found.name().to_string()), id: found.id(), result: Ok(()) }
            }
        });
    }
    results
}

fn find<'a>(image: &'a MetadataImage, topic: &TopicReference) -> Result<&'a TopicImage, ApiError> {
    match (&topic.name, topic.id) {
        (None, Uuid::ZERO) => {
            Err(ApiError::new(ErrorCode::InvalidRequest, "neither the topic's name nor its id is given"))
        }
        (Some(name), Uuid::ZERO) => image.topic_by_name(name).ok_or_else(|| {
            ApiError::new(ErrorCode::UnknownTopicOrPartition, format!("no topic has the name '{name}'"))
        }),
        (None, id) => image
            .topic(id)
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownTopicId, format!("no topic has the id {id}"))),
        (Some(_), _) => {
            Err(ApiError::new(ErrorCode::InvalidRequest, "give either the topic's name or its id, not both"))
        }
    }
}
