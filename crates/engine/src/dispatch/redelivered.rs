//! Work that is handed out again.

/// How often work came back from workers undone and was handed out again, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redelivered {
    /// The worker's stream ended.
    pub worker_lost: u64,
    /// It was out for too long.
    pub lease_expired: u64,
    /// The worker gave it back.
    pub abandoned: u64,
    /// The answer could not be carried out.
    pub rejected: u64,
}

impl Redelivered {
    /// With the reasons as metrics show them.
    pub fn by_reason(self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { worker_lost, lease_expired, abandoned, rejected } = self;
        [
            ("worker_lost", worker_lost),
            ("lease_expired", lease_expired),
            ("abandoned", abandoned),
            ("rejected", rejected),
        ]
        .into_iter()
    }
}
