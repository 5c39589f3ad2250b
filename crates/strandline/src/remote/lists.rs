//! Lists, counts and histories of a server's hub. A server that knows the Durable Task protocol only is
//! asked in its words.

use std::sync::Arc;

use futures::TryStreamExt;
use strandline_engine::pipeline::HistoryPage;
use strandline_engine::runtime::InstancePage;
use strandline_hub::query::{EntityQuery, InstanceQuery, PAGE_SIZE_MAX, Query as _, check_page_size};
use strandline_model::{EntityId, InstanceId};
use strandline_proto::{ids, management, wire};
use tonic::Code;

use super::calls::Remote;
use super::connection::Repeat;
use super::convert;
use super::error::{Failed, Subject, unreadable};
use crate::backend::{PageOf, When};
use crate::entity::{CleanedEntities, EntityPage, EntityStatus};
use crate::error::{Error, Result};

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new("InvalidRequest", error)
}

/// The server has no such method.
fn is_unknown(failed: &Failed) -> bool {
    failed.status.code() == Code::Unimplemented
}

impl Remote {
    pub(super) async fn list_page(
        &self,
        query: &Arc<InstanceQuery>,
        page: PageOf<'_>,
    ) -> Result<InstancePage> {
        query.check().map_err(invalid)?;
        check_page_size(page.size).map_err(invalid)?;
        let connection = &*self.connection;
        let request = management::ListInstancesRequest {
            filter: Some(convert::filter(query)),
            with_payloads: page.payloads,
            page_size: u32::try_from(page.size).unwrap_or(u32::MAX),
            continuation_token: page.token.map(str::to_owned),
        };
        let call = || {
            let (mut stub, request) = (connection.management(), request.clone());
            async move { stub.list_instances(request).await }
        };
        let (states, continuation_token) = match connection.call(Repeat::Harmless, call).await {
            Ok(response) => {
                let list = response.into_inner();
                (list.instances, list.continuation_token)
            }
            Err(failed) if is_unknown(&failed) => return self.query_page(query, page).await,
            Err(failed) => return Err(self.error(failed, Subject::Hub)),
        };
        let instances = states.into_iter().map(convert::instance).collect::<Result<_, _>>();
        Ok(InstancePage { instances: instances.map_err(unreadable)?, continuation_token })
    }

    /// Conditions for which the protocol has no words are looked at here.
    async fn query_page(&self, query: &InstanceQuery, page: PageOf<'_>) -> Result<InstancePage> {
        let connection = &*self.connection;
        let asked = convert::query(query, page.token, page.size, page.payloads);
        let call = || {
            let (mut stub, query) = (connection.stub(), Some(asked.clone()));
            async move { stub.query_instances(wire::QueryInstancesRequest { query }).await }
        };
        let response = connection.call(Repeat::Harmless, call).await;
        let list = response.map_err(|failed| self.error(failed, Subject::Hub))?.into_inner();
        let instances = list.orchestration_state.into_iter().map(convert::instance);
        let instances = instances.filter(|i| i.as_ref().map_or(true, |i| convert::matches(query, i)));
        let instances = instances.collect::<Result<_, _>>().map_err(unreadable)?;
        let continuation_token = list.continuation_token.filter(|token| !token.is_empty());
        Ok(InstancePage { instances, continuation_token })
    }

    pub(super) async fn count_matching(&self, query: &Arc<InstanceQuery>) -> Result<u64> {
        query.check().map_err(invalid)?;
        let connection = &*self.connection;
        let filter = convert::filter(query);
        let call = || {
            let (mut stub, filter) = (connection.management(), Some(filter.clone()));
            async move { stub.count_instances(management::CountInstancesRequest { filter }).await }
        };
        match connection.call(Repeat::Harmless, call).await {
            Ok(response) => return Ok(response.into_inner().count),
            Err(failed) if is_unknown(&failed) => {}
            Err(failed) => return Err(self.error(failed, Subject::Hub)),
        }
        let (mut count, mut token) = (0, None::<String>);
        loop {
            let page = PageOf { token: token.as_deref(), size: PAGE_SIZE_MAX, payloads: false };
            let list = self.query_page(query, page).await?;
            count += list.instances.len() as u64;
            match list.continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(count),
            }
        }
    }

    pub(super) async fn history_page(
        &self,
        id: &InstanceId,
        from: usize,
        max: usize,
    ) -> Result<Option<HistoryPage>> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (first, most) = (count(from), count(max));
        if most == 0 {
            let status = self.status_when(id).await?;
            let page = |execution| HistoryPage { execution, total: 0, events: Vec::new() };
            return Ok(status.map(page));
        }
        let connection = &*self.connection;
        let call = || {
            let mut stub = connection.management();
            let request = management::GetHistoryRequest {
                instance_id: id.to_string(),
                from: first,
                max: most,
                execution_id: None,
            };
            async move { stub.get_history(request).await }
        };
        let page = match connection.call(Repeat::Harmless, call).await {
            Ok(response) => response.into_inner(),
            Err(failed) if is_unknown(&failed) => return self.streamed_history(id, from, max).await,
            Err(failed) if failed.status.code() == Code::NotFound => return Ok(None),
            Err(failed) => return Err(self.error(failed, Subject::Instance(id))),
        };
        let execution =
            ids::from_wire(&page.execution_id, "GetHistoryResponse.executionId").map_err(unreadable)?;
        let events = convert::events(page.events).map_err(unreadable)?;
        Ok(Some(HistoryPage { execution, total: page.total as usize, events }))
    }

    async fn status_when(&self, id: &InstanceId) -> Result<Option<strandline_model::ExecutionId>> {
        use crate::backend::Backend as _;
        Ok(self.status(id, When::Now).await?.map(|status| status.execution))
    }

    /// The whole history is read, of which the page is cut out.
    async fn streamed_history(
        &self,
        id: &InstanceId,
        from: usize,
        max: usize,
    ) -> Result<Option<HistoryPage>> {
        let Some(execution) = self.status_when(id).await? else { return Ok(None) };
        let failed = |status| self.error(Failed { status, in_doubt: false }, Subject::Instance(id));
        let request = wire::StreamInstanceHistoryRequest {
            instance_id: id.to_string(),
            execution_id: Some(execution.to_string()),
            for_work_item_processing: false,
        };
        let stream = self.connection.stub().stream_instance_history(request).await.map_err(failed)?;
        let mut stream = stream.into_inner();
        let (mut total, mut events) = (0, Vec::new());
        while let Some(chunk) = stream.try_next().await.map_err(failed)? {
            for event in chunk.events {
                if (from..from.saturating_add(max)).contains(&total) {
                    events.push(event);
                }
                total += 1;
            }
        }
        let events = convert::events(events).map_err(unreadable)?;
        Ok(Some(HistoryPage { execution, total, events }))
    }

    pub(super) async fn entity_status(&self, entity: &EntityId) -> Result<Option<EntityStatus>> {
        let connection = &*self.connection;
        let call = || {
            let mut stub = connection.management();
            let request = management::GetEntityStatusRequest { id: entity.to_string() };
            async move { stub.get_entity_status(request).await }
        };
        match connection.call(Repeat::Harmless, call).await {
            Ok(response) => return Ok(Some(convert::entity_status(response.into_inner()))),
            Err(failed) if failed.status.code() == Code::NotFound => return Ok(None),
            Err(failed) if is_unknown(&failed) => {}
            Err(failed) => return Err(self.error(failed, Subject::Entity(entity))),
        }
        let call = || {
            let mut stub = connection.stub();
            let request = wire::GetEntityRequest { instance_id: entity.to_string(), include_state: true };
            async move { stub.get_entity(request).await }
        };
        let response = connection.call(Repeat::Harmless, call).await;
        let response = response.map_err(|failed| self.error(failed, Subject::Entity(entity)))?.into_inner();
        Ok(response.entity.filter(|_| response.exists).map(convert::entity))
    }

    pub(super) async fn entity_page(&self, query: &EntityQuery, page: PageOf<'_>) -> Result<EntityPage> {
        query.check().map_err(invalid)?;
        check_page_size(page.size).map_err(invalid)?;
        let connection = &*self.connection;
        let asked = convert::entity_query(query, page.token, page.size, page.payloads);
        let call = || {
            let (mut stub, query) = (connection.stub(), Some(asked.clone()));
            async move { stub.query_entities(wire::QueryEntitiesRequest { query }).await }
        };
        let response = connection.call(Repeat::Harmless, call).await;
        let list = response.map_err(|failed| self.error(failed, Subject::Hub))?.into_inner();
        let entities = list.entities.into_iter().map(convert::entity).collect();
        let continuation_token = list.continuation_token.filter(|token| !token.is_empty());
        Ok(EntityPage { entities, continuation_token })
    }

    pub(super) async fn clean(&self) -> Result<CleanedEntities> {
        let connection = &*self.connection;
        let mut cleaned = CleanedEntities::default();
        let mut token: Option<String> = None;
        loop {
            let call = || {
                let mut stub = connection.stub();
                let request = wire::CleanEntityStorageRequest {
                    continuation_token: token.clone(),
                    remove_empty_entities: true,
                    release_orphaned_locks: true,
                };
                async move { stub.clean_entity_storage(request).await }
            };
            let response = connection.call(Repeat::Harmless, call).await;
            let part = response.map_err(|failed| self.error(failed, Subject::Hub))?.into_inner();
            cleaned.released_locks += u64::try_from(part.orphaned_locks_released).unwrap_or(0);
            token = part.continuation_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(cleaned);
            }
        }
    }
}
