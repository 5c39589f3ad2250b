use std::io;

use crate::frame::{ALIGN, Frame, HEADER, size_of};
use crate::segment::Segment;

/// Bytes read ahead at a time.
const AHEAD: u64 = 1 << 20;

/// A moving view of one segment, so that reading a log takes little memory.
pub(crate) struct Window<'a> {
    segment: &'a Segment,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Self {
        Self { segment, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `offset`; `None` past the end of the segment.
    fn get(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let end = offset + len as u64;
        if end > self.segment.size {
            return Ok(None);
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let to = (offset + AHEAD.max(len as u64)).min(self.segment.size);
            self.bytes = vec![0; (to - offset) as usize];
            self.segment.file.read_at(&mut self.bytes, offset)?;
            self.start = offset;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// The frame at `offset` with its body, and the offset after it; `None` when there is no sound one.
    pub(crate) fn frame(&mut self, offset: u64) -> io::Result<Option<(Frame, &[u8], u64)>> {
        let salt = self.segment.salt;
        let header = self.get(offset, HEADER)?.and_then(|b| b.first_chunk());
        let Some(len) = header.and_then(|h| Frame::body_len(h, salt)) else { return Ok(None) };
        let Some(bytes) = self.get(offset, size_of(len))? else { return Ok(None) };
        Ok(Frame::decode(bytes, salt)
            .map(|(frame, body)| (frame, &bytes[body], offset + size_of(len) as u64)))
    }

    /// The first place at or after `offset` that bears the segment's salt where a frame would.
    pub(crate) fn next_salted(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let salt = self.segment.salt.to_le_bytes();
        let mut offset = offset.next_multiple_of(ALIGN);
        // A header cut off by the end of a shortened file counts too: only its salt must be there.
        while offset + 16 <= self.segment.size {
            let len = AHEAD.min(self.segment.size - offset - 8) & !7;
            let Some(bytes) = self.get(offset + 8, len as usize)? else { break };
            if let Some(found) = bytes.chunks_exact(8).position(|c| c == salt) {
                return Ok(Some(offset + found as u64 * ALIGN));
            }
            offset += len;
        }
        Ok(None)
    }
}
