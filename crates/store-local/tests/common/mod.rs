//! What several tests share.
#![allow(dead_code, unreachable_pub)]

use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRow, PartitionRows};
use strandline_model::{InstanceId, Timestamp};
use strandline_store::{Batch, PartitionRef};

/// Small, fast, repeatable random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

pub fn batch(at: PartitionRef, epoch: u64, position: u64, records: Vec<u8>) -> Batch {
    Batch { at, epoch, position, time: Timestamp::from_millis(position as i64), records }
}

pub const COUNTER: &str = "counter";

/// Rows of one partition at `position`: the counter's custom status says it again.
pub fn rows(position: u64) -> PartitionRows {
    let row = InstanceRow {
        id: COUNTER.into(),
        execution_id: vec![0; 16],
        custom_status: Some(position.to_string()),
        ..InstanceRow::default()
    };
    PartitionRows {
        partition: PartitionRow { position, ..PartitionRow::default() },
        instances: vec![InstanceRows {
            id: InstanceId::trusted(COUNTER),
            row: Some(row),
            chunks: Vec::new(),
            dropped: Vec::new(),
            active: position % 2 == 1,
        }],
        entities: Vec::new(),
        timers_added: Vec::new(),
        timers_removed: Vec::new(),
    }
}
