//! Asking before something is done that can't be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use super::error::Error;

/// Whether somebody went ahead already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// By flag.
    Given,
    Ask,
}

impl Consent {
    pub(super) fn given(by_flag: bool) -> Self {
        if by_flag { Self::Given } else { Self::Ask }
    }

    /// Returns when `what` may be done. Without a terminal there is nobody to ask.
    pub(super) async fn obtain(self, what: String) -> Result<(), Error> {
        if self == Self::Given {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Error::Unconfirmed { what });
        }
        // Reading blocks, and an interrupt must be heard meanwhile.
        let answer = tokio::task::spawn_blocking(move || -> io::Result<String> {
            write!(io::stderr(), "{what}? [y/N] ")?;
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer)?;
            Ok(answer)
        });
        let answer = answer.await.map_err(|error| Error::Output(io::Error::other(error)))??;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Error::Declined),
        }
    }
}
