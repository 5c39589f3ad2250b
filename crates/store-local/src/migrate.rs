//! Bringing a store of an older format up to date when it is opened.

use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};
use strandline_hub::row::InstanceHead;
use strandline_store::StoreError;

use crate::index::{Changes, Indexed};
use crate::keys;
use crate::schema::{
    BY_NAME, BY_STATUS, ENTITIES, INDEXED, INSTANCES, MARKS, META, SECRETS, corrupt, decode,
};
use crate::tables::{Problem, Tables};

/// Rows indexed in one transaction: it bounds the memory their entries take.
const SLICE: usize = 50_000;

impl Tables {
    /// Makes the indexes of a store of format 1, which has rows only, and its secret. What an attempt
    /// that was cut short left behind does no harm: the rows have not changed since.
    pub(crate) fn build_indexes(&self, secret: &[u8; 32]) -> Result<(), StoreError> {
        tracing::info!("building the indexes of instances, once for this data directory");
        let mut done = 0;
        let mut last = Vec::new();
        loop {
            let (rows, next) = self.write(|txn| index_slice(txn, &last))?;
            done += rows;
            match next {
                Some(next) => last = next,
                None => break,
            }
            tracing::info!(instances = done, "still building the indexes");
        }
        self.write(|txn| {
            txn.open_table(BY_STATUS)?;
            txn.open_table(BY_NAME)?;
            txn.open_table(ENTITIES)?;
            txn.open_table(SECRETS)?.insert(MARKS, &secret[..])?;
            txn.open_table(META)?.insert(INDEXED, 1)?;
            Ok(())
        })?;
        tracing::info!(instances = done, "the indexes are built");
        Ok(())
    }

    pub(crate) fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.read(|txn| {
            let value = txn.open_table(SECRETS)?.get(MARKS)?;
            let secret = value.and_then(|v| v.value().try_into().ok());
            Ok(secret.ok_or_else(|| corrupt("the secret is missing".into()))?)
        })
    }
}

/// Indexes some rows after the key `last`. Returns how many, and the last of them unless no rows remain.
fn index_slice(txn: &WriteTransaction, last: &[u8]) -> Result<(usize, Option<Vec<u8>>), Problem> {
    let mut changes = Changes::default();
    let mut rows = 0;
    let mut next = None;
    let instances = txn.open_table(INSTANCES)?;
    for row in instances.range::<&[u8]>((Bound::Excluded(last), Bound::Unbounded))? {
        let (key, value) = row?;
        let damaged = || corrupt("a key of instances".into());
        let at = keys::partition_of(key.value()).ok_or_else(damaged)?;
        let id = keys::instance_of(key.value()).ok_or_else(damaged)?;
        let head: InstanceHead = decode("instances", value.value())?;
        changes.replaced(at.hub, id.as_str(), None, Some(Indexed::head(&head)));
        rows += 1;
        if rows == SLICE {
            next = Some(key.value().to_vec());
            break;
        }
    }
    changes.apply(txn)?;
    Ok((rows, next))
}
