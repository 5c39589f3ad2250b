//! The bytes of one log frame.
//!
//! All numbers are little endian; a frame is padded with zeros to a multiple of 8.
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 4 | CRC32C of everything else in the frame, padding included |
//! | 8 | 8 | salt of the segment |
//! | 16 | 8 | log sequence number, dense over the log |
//! | 24 | 8 | durable: the log sequence number known durable when this was written |
//! | 32 | 8 | position of the batch in its partition |
//! | 40 | 8 | epoch |
//! | 48 | 8 | time, seconds |
//! | 56 | 4 | time, nanoseconds |
//! | 60 | 4 | hub |
//! | 64 | 2 | partition |
//! | 66 | 1 | kind: 1 batch, 2 trailer, 3 hub |
//! | 67 | 1 | flags: 1 first of its batch, 2 last of its batch |
//! | 68 | 4 | zero |
//! | 72 | | body |

use std::ops::Range;

use strandline_model::Timestamp;
use strandline_store::PartitionRef;

use crate::options::FRAME_BYTES_MAX;

/// Bytes before the body.
pub(crate) const HEADER: usize = 72;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Batch,
    /// Holds nothing but a newer `durable`.
    Trailer,
    /// What became of the hub it names; see [`crate::hubs::HubChange`].
    Hub,
}

/// Everything of a frame but its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) salt: u64,
    pub(crate) lsn: u64,
    pub(crate) durable: u64,
    pub(crate) position: u64,
    pub(crate) epoch: u64,
    pub(crate) time: Timestamp,
    pub(crate) at: PartitionRef,
    pub(crate) kind: Kind,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// Bytes that a frame with a body of `body` bytes takes.
pub(crate) fn size_of(body: usize) -> usize {
    HEADER + body.next_multiple_of(ALIGN as usize)
}

impl Frame {
    pub(crate) fn trailer(salt: u64, lsn: u64, durable: u64) -> Self {
        Self {
            salt,
            lsn,
            durable,
            position: 0,
            epoch: 0,
            time: Timestamp::EPOCH,
            at: PartitionRef { hub: 0, partition: 0 },
            kind: Kind::Trailer,
            first: false,
            last: false,
        }
    }

    /// Appends the frame to `out`.
    pub(crate) fn encode(&self, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let mut header = [0u8; HEADER];
        header[0..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        header[8..16].copy_from_slice(&self.salt.to_le_bytes());
        header[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        header[24..32].copy_from_slice(&self.durable.to_le_bytes());
        header[32..40].copy_from_slice(&self.position.to_le_bytes());
        header[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        header[48..56].copy_from_slice(&self.time.seconds.to_le_bytes());
        header[56..60].copy_from_slice(&self.time.nanos.to_le_bytes());
        header[60..64].copy_from_slice(&self.at.hub.to_le_bytes());
        header[64..66].copy_from_slice(&self.at.partition.to_le_bytes());
        header[66] = match self.kind {
            Kind::Batch => 1,
            Kind::Trailer => 2,
            Kind::Hub => 3,
        };
        header[67] = u8::from(self.first) | u8::from(self.last) << 1;
        out.extend_from_slice(&header);
        out.extend_from_slice(body);
        out.resize(start + size_of(body.len()), 0);
        let crc = checksum(&out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The body's length that the header at the start of `bytes` claims, if it may be one.
    pub(crate) fn body_len(bytes: &[u8; HEADER], salt: u64) -> Option<usize> {
        let len = u32_at(bytes, 0) as usize;
        (u64_at(bytes, 8) == salt && len <= FRAME_BYTES_MAX).then_some(len)
    }

    /// Reads a frame of exactly `bytes`: `None` when anything about it is wrong.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<(Self, Range<usize>)> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let len = Self::body_len(header, salt)?;
        if bytes.len() != size_of(len) || checksum(bytes) != u32_at(bytes, 4) {
            return None;
        }
        let kind = match header[66] {
            1 => Kind::Batch,
            2 => Kind::Trailer,
            3 => Kind::Hub,
            _ => return None,
        };
        let frame = Self {
            salt,
            lsn: u64_at(bytes, 16),
            durable: u64_at(bytes, 24),
            position: u64_at(bytes, 32),
            epoch: u64_at(bytes, 40),
            time: Timestamp { seconds: u64_at(bytes, 48).cast_signed(), nanos: u32_at(bytes, 56) },
            at: PartitionRef {
                hub: u32_at(bytes, 60),
                partition: u16::from_le_bytes([bytes[64], bytes[65]]),
            },
            kind,
            first: header[67] & 1 != 0,
            last: header[67] & 2 != 0,
        };
        Some((frame, HEADER..HEADER + len))
    }
}

/// Over the whole frame but the checksum itself.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let frame = Frame {
            kind: Kind::Batch,
            first: true,
            last: true,
            position: 7,
            epoch: 3,
            time: Timestamp { seconds: -5, nanos: 9 },
            at: PartitionRef { hub: 2, partition: 31 },
            ..Frame::trailer(0x1234_5678_9abc_def0, 5, 4)
        };
        let mut bytes = Vec::new();
        frame.encode(b"twelve bytes", &mut bytes);
        assert_eq!(bytes.len(), size_of(12));
        let (read, body) = Frame::decode(&bytes, frame.salt).unwrap();
        assert_eq!(read, frame);
        assert_eq!(&bytes[body], b"twelve bytes");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::decode(&bytes, frame.salt), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Frame::decode(&bytes, frame.salt + 1), None);
    }
}
