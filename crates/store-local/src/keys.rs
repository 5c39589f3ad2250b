//! Keys of the tables: hub and partition, big endian, then what names the row.

use strandline_hub::row::TimerKey;
use strandline_model::{ExecutionId, InstanceId};
use strandline_store::PartitionRef;

pub(crate) const PREFIX: usize = 6;

pub(crate) fn partition(at: PartitionRef) -> [u8; PREFIX] {
    let mut key = [0; PREFIX];
    key[..4].copy_from_slice(&at.hub.to_be_bytes());
    key[4..].copy_from_slice(&at.partition.to_be_bytes());
    key
}

pub(crate) fn partition_of(key: &[u8]) -> Option<PartitionRef> {
    let hub = u32::from_be_bytes(*key.first_chunk()?);
    let partition = u16::from_be_bytes(*key.get(4..)?.first_chunk()?);
    Some(PartitionRef { hub, partition })
}

pub(crate) fn instance(at: PartitionRef, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX + id.len());
    key.extend_from_slice(&partition(at));
    key.extend_from_slice(id.as_bytes());
    key
}

/// The instance id in a key of [`instance`].
pub(crate) fn instance_of(key: &[u8]) -> Option<InstanceId> {
    let id = std::str::from_utf8(key.get(PREFIX..)?).ok()?;
    Some(InstanceId::trusted(id))
}

pub(crate) fn chunk(at: PartitionRef, execution: ExecutionId, number: u32) -> [u8; PREFIX + 20] {
    let mut key = [0; PREFIX + 20];
    key[..PREFIX].copy_from_slice(&partition(at));
    key[PREFIX..PREFIX + 16].copy_from_slice(&execution.0.to_be_bytes());
    key[PREFIX + 16..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Due time, instance, a zero, timer id: ordered like [`TimerKey`].
pub(crate) fn timer(at: PartitionRef, timer: &TimerKey) -> Vec<u8> {
    let id = timer.instance.as_str().as_bytes();
    let mut key = Vec::with_capacity(PREFIX + 13 + id.len());
    key.extend_from_slice(&partition(at));
    key.extend_from_slice(&(timer.due_millis.cast_unsigned() ^ 1 << 63).to_be_bytes());
    key.extend_from_slice(id);
    key.push(0);
    key.extend_from_slice(&(timer.timer_id.cast_unsigned() ^ 1 << 31).to_be_bytes());
    key
}

pub(crate) fn timer_of(key: &[u8]) -> Option<TimerKey> {
    let (due, rest) = key.get(PREFIX..)?.split_first_chunk::<8>()?;
    let (id, timer_id) = rest.split_last_chunk::<4>()?;
    let id = std::str::from_utf8(id.strip_suffix(&[0])?).ok()?;
    Some(TimerKey {
        due_millis: (u64::from_be_bytes(*due) ^ 1 << 63).cast_signed(),
        instance: InstanceId::trusted(id),
        timer_id: (u32::from_be_bytes(*timer_id) ^ 1 << 31).cast_signed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_keys_sort_like_timers() {
        let at = PartitionRef { hub: 1, partition: 2 };
        let mut timers = Vec::new();
        for due_millis in [i64::MIN, -1, 0, 1, i64::MAX] {
            for id in ["a", "aa", "b", "a\u{e4}"] {
                for timer_id in [TimerKey::START, 0, 5, i32::MAX] {
                    timers.push(TimerKey { due_millis, instance: InstanceId::trusted(id), timer_id });
                }
            }
        }
        timers.sort();
        let keys: Vec<_> = timers.iter().map(|t| timer(at, t)).collect();
        assert!(keys.is_sorted());
        let back: Vec<_> = keys.iter().map(|k| timer_of(k).unwrap()).collect();
        assert_eq!(back, timers);
        assert!(keys.iter().all(|k| partition_of(k) == Some(at)));
    }
}
