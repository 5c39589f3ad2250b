/// How a [`LocalStore`](crate::LocalStore) uses memory, disk and threads.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Bytes of table pages kept in memory. Default 32 MiB.
    pub cache_bytes: usize,
    /// Size of the first log segment in bytes; each new one is four times as big. Default 4 MiB.
    pub segment_min: u64,
    /// Largest log segment in bytes. Default 64 MiB.
    pub segment_max: u64,
    /// Most bytes of one batch in one frame of the log; at most [`FRAME_BYTES_MAX`]. Default 1 MiB.
    pub frame_bytes: usize,
    /// Prepare segments and drop the rows of deleted hubs on a thread of the store. When false the
    /// store has no thread and does this inside its calls, always in the same order. Default true.
    pub background: bool,
    /// Makes the identity of a new store, and with it every byte it writes, repeatable.
    pub identity: Option<u64>,
    /// Plants a bug, to see that tests find it.
    pub sabotage: Sabotage,
}

/// Longest body of a log frame that any version accepts, in bytes.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Bugs that a test can plant in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// A store that works.
    #[default]
    None,
    /// Appends return before they are durable.
    DropSync,
    /// Appends accept any position.
    SkipPositionCheck,
    /// Appends accept any epoch.
    SkipEpochCheck,
    /// Index entries stay when their instances change.
    StaleIndexes,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            segment_min: 4 << 20,
            segment_max: 64 << 20,
            frame_bytes: 1 << 20,
            background: true,
            identity: None,
            sabotage: Sabotage::None,
        }
    }
}

impl LocalOptions {
    /// For a store on a [`MemoryDisk`](strandline_store::disk::MemoryDisk): 1 to 4 MiB segments, a small
    /// cache, no thread.
    pub fn in_memory() -> Self {
        Self {
            cache_bytes: 4 << 20,
            segment_min: 1 << 20,
            segment_max: 4 << 20,
            background: false,
            ..Self::default()
        }
    }

    /// Small and without threads, for the simulator and tests: 16 KiB segments, 4 KiB frames.
    pub fn simulated(identity: u64) -> Self {
        Self {
            cache_bytes: 256 << 10,
            segment_min: 16 << 10,
            segment_max: 64 << 10,
            frame_bytes: 4 << 10,
            background: false,
            identity: Some(identity),
            sabotage: Sabotage::None,
        }
    }

    /// Brings every value into the range that the store can work with.
    pub(crate) fn checked(mut self) -> Self {
        self.segment_min = self.segment_min.clamp(4 << 10, 1 << 30) & !7;
        self.segment_max = self.segment_max.clamp(self.segment_min, 1 << 30) & !7;
        self.frame_bytes = self.frame_bytes.clamp(256, FRAME_BYTES_MAX);
        self
    }
}
