//! Names and values of the tables. A table whose format changes gets a new name.

use prost::Message;
use redb::TableDefinition;
use strandline_store::StoreError;

pub(crate) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Numbers of the store as a whole; see the keys below.
pub(crate) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta_v1");
/// Hubs by name.
pub(crate) const HUBS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("hubs_v1");
/// Numbers of deleted hubs that may still have rows.
pub(crate) const DROPPING: TableDefinition<'static, u32, ()> = TableDefinition::new("dropping_v1");
/// By partition: the position that its rows reflect; all that must be read when a store is opened.
pub(crate) const POSITIONS: TableDefinition<'static, &'static [u8], u64> =
    TableDefinition::new("positions_v1");
pub(crate) const PARTITIONS: Bytes = TableDefinition::new("partitions_v1");
pub(crate) const INSTANCES: Bytes = TableDefinition::new("instances_v1");
pub(crate) const CHUNKS: Bytes = TableDefinition::new("chunks_v1");
pub(crate) const TIMERS: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("timers_v1");
pub(crate) const ACTIVE: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("active_v1");
/// Entities, by partition and id.
pub(crate) const ENTITIES: Bytes = TableDefinition::new("entities_v1");
/// Instances by partition and status, then newest first; see [`crate::index`].
pub(crate) const BY_STATUS: TableDefinition<'static, &'static [u8], ()> =
    TableDefinition::new("by_status_v1");
/// Instances by partition and the orchestrator's name, then newest first.
pub(crate) const BY_NAME: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("by_name_v1");
/// Instances that are over by partition and status, then in the order in which they ended.
pub(crate) const BY_COMPLETED: TableDefinition<'static, &'static [u8], ()> =
    TableDefinition::new("by_completed_v1");
/// What nobody outside may learn, by name.
pub(crate) const SECRETS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("secrets_v1");

/// Counts how often the store was opened; the upper half of every epoch.
pub(crate) const INCARNATION: &str = "incarnation";
/// The number the next hub gets.
pub(crate) const NEXT_HUB: &str = "next_hub";
/// The newest log frame known durable.
pub(crate) const DURABLE: &str = "durable";
/// The oldest log segment that is needed.
pub(crate) const FIRST_SEGMENT: &str = "first_segment";
/// The first frame of that segment.
pub(crate) const FIRST_LSN: &str = "first_lsn";
/// The store's identity, as in the format file.
pub(crate) const IDENTITY: &str = "identity";
/// Says which indexes agree with the rows; a store of format 1 had none.
pub(crate) const INDEXED: &str = "indexed";
/// All of them. 1: by status and name. 2: by completion.
pub(crate) const ALL_INDEXES: u64 = 2;
/// Among the secrets: what [`strandline_store::Store::secret`] returns.
pub(crate) const MARKS: &str = "marks";

/// First byte of every value.
const VERSION: u8 = 1;

/// A hub as stored.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HubRow {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) partitions: u32,
}

/// The value of a row, in `buffer`.
pub(crate) fn encode<'b>(row: &impl Message, buffer: &'b mut Vec<u8>) -> &'b [u8] {
    buffer.clear();
    buffer.push(VERSION);
    row.encode_raw(buffer);
    buffer
}

/// Reads a value of `table`.
pub(crate) fn decode<M: Message + Default>(table: &str, value: &[u8]) -> Result<M, StoreError> {
    match value.split_first() {
        Some((&VERSION, body)) => M::decode(body).map_err(|e| corrupt(format!("a row of {table}: {e}"))),
        Some((version, _)) => Err(StoreError::Format(format!(
            "a row of table {table} has format {version}, this version reads format {VERSION}: use the version \
             that wrote it, or a newer one"
        ))),
        None => Err(corrupt(format!("an empty row in {table}"))),
    }
}

pub(crate) fn corrupt(reason: String) -> StoreError {
    StoreError::Corrupt { file: crate::tables::FILE.into(), offset: 0, reason }
}
