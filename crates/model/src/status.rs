use std::fmt;

/// The runtime status of an instance. Numbers are those of the Durable Task protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RuntimeStatus {
    Running = 0,
    Completed = 1,
    /// Transient: seen only between two generations.
    ContinuedAsNew = 2,
    Failed = 3,
    /// Never produced; kept because the protocol has it.
    Canceled = 4,
    Terminated = 5,
    Pending = 6,
    Suspended = 7,
}

impl RuntimeStatus {
    /// Over for good: only purge, rewind, restart or a replacing start change it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Terminated)
    }

    /// The name used by Durable Functions' HTTP API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Terminated => "Terminated",
            Self::Pending => "Pending",
            Self::Suspended => "Suspended",
        }
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
