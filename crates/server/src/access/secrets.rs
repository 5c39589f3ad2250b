//! The secrets that URLs are signed with.

use zeroize::Zeroizing;

/// As many as a block of SHA-256: a longer one would be hashed first, a shorter one filled up.
const BYTES: usize = 64;

/// What a URL is signed with. Wiped from memory when dropped.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; BYTES]>);

/// Those that are good now.
#[derive(Clone)]
pub(super) struct Live {
    /// What is signed with.
    pub(super) newest: Secret,
    /// What is recognised besides.
    pub(super) older: Option<Secret>,
}

/// Where they come from.
pub(super) struct Secrets {
    live: Live,
}

impl Secret {
    pub(super) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl Secrets {
    /// One that ends with the server.
    pub(super) fn in_memory() -> Result<Self, getrandom::Error> {
        Ok(Self { live: Live { newest: Secret::generate()?, older: None } })
    }

    pub(super) fn live(&self) -> Live {
        self.live.clone()
    }
}
