//! Where a server may listen.

use std::net::SocketAddr;

/// What a server is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `strandline dev`: no keys are needed.
    Development,
    /// `strandline serve`.
    Production,
}

/// Where and how a server is to listen.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    /// The address.
    pub address: SocketAddr,
    /// What for.
    pub purpose: Purpose,
    /// Whether callers need keys, of which there is one.
    pub keys: bool,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// Whether `--insecure` was given.
    pub insecure: bool,
}

/// What the log should say of an address that may be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindWarning {
    /// Whoever has an account on the machine is let in.
    #[error(
        "no access keys: every user of this machine may do everything, until `strandline keys create` \
         makes the first key"
    )]
    NoKeysOnLoopback,
    /// Everybody is let in.
    #[error(
        "INSECURE: without access keys everybody who reaches {0} may do everything; \
         `strandline keys create` makes keys"
    )]
    NoKeys(SocketAddr),
    /// Everybody on the way can read along.
    #[error("INSECURE: without TLS, access keys and payloads cross the network in the clear to {0}")]
    NoTls(SocketAddr),
}

/// Why an address may not be listened on, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// `strandline dev` asks for no keys.
    #[error(
        "{0} can be reached from other machines, and `dev` asks nobody for a key: listen on 127.0.0.1, \
         or use `strandline serve` with keys"
    )]
    Development(SocketAddr),
    /// Nobody would be asked for a key.
    #[error(
        "{0} can be reached from other machines, and there are no access keys: make one with \
         `strandline keys create --role client,worker`, listen on 127.0.0.1, or accept it with --insecure"
    )]
    NoKeys(SocketAddr),
    /// Keys would be read on the way.
    #[error(
        "{0} can be reached from other machines, and without TLS access keys cross the network in the \
         clear: set tls.certificate and tls.key, listen on 127.0.0.1 behind a proxy that speaks TLS, or, \
         where the network itself is trusted, accept it with --insecure"
    )]
    NoTls(SocketAddr),
}

/// Judges an address before it is listened on. An address of a machine's own loopback is fine; others
/// need keys and TLS, or the word `--insecure`, which lowers what is asked of the server and never what
/// is asked of callers.
pub fn check_bind(bind: Bind) -> Result<Vec<BindWarning>, BindError> {
    let Bind { address, purpose, keys, tls, insecure } = bind;
    // `::ffff:127.0.0.1` is loopback, too.
    let loopback = address.ip().to_canonical().is_loopback();
    if loopback {
        let warns = !keys && purpose == Purpose::Production;
        return Ok(if warns { vec![BindWarning::NoKeysOnLoopback] } else { Vec::new() });
    }
    if !insecure {
        return match (keys, tls) {
            (false, _) if purpose == Purpose::Development => Err(BindError::Development(address)),
            (false, _) => Err(BindError::NoKeys(address)),
            (true, false) => Err(BindError::NoTls(address)),
            (true, true) => Ok(Vec::new()),
        };
    }
    let no_keys = (!keys).then_some(BindWarning::NoKeys(address));
    let no_tls = (!tls).then_some(BindWarning::NoTls(address));
    Ok(no_keys.into_iter().chain(no_tls).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        address: &str,
        purpose: Purpose,
        keys: bool,
        tls: bool,
        insecure: bool,
    ) -> Result<Vec<BindWarning>, BindError> {
        check_bind(Bind { address: address.parse().unwrap(), purpose, keys, tls, insecure })
    }

    #[test]
    fn loopback_needs_nothing() {
        for address in ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080", "[::ffff:127.0.0.1]:8080"] {
            assert_eq!(check(address, Purpose::Development, false, false, false), Ok(vec![]));
            let warned = Ok(vec![BindWarning::NoKeysOnLoopback]);
            assert_eq!(check(address, Purpose::Production, false, false, false), warned);
            assert_eq!(check(address, Purpose::Production, true, false, false), Ok(vec![]));
        }
    }

    #[test]
    fn the_network_needs_keys_and_tls() {
        for text in ["0.0.0.0:8080", "[::]:8080", "10.0.0.7:8080", "[::ffff:10.0.0.7]:8080"] {
            let address = text.parse().unwrap();
            let check = |keys, tls| check(text, Purpose::Production, keys, tls, false);
            assert_eq!(check(false, false), Err(BindError::NoKeys(address)));
            assert_eq!(check(false, true), Err(BindError::NoKeys(address)));
            assert_eq!(check(true, false), Err(BindError::NoTls(address)));
            assert_eq!(check(true, true), Ok(vec![]));
        }
        let address = "0.0.0.0:8080".parse().unwrap();
        let development = check("0.0.0.0:8080", Purpose::Development, false, true, false);
        assert_eq!(development, Err(BindError::Development(address)));
    }

    #[test]
    fn insecure_is_allowed_and_said() {
        let address = "0.0.0.0:8080".parse().unwrap();
        let (no_keys, no_tls) = (BindWarning::NoKeys(address), BindWarning::NoTls(address));
        let check = |keys, tls| check("0.0.0.0:8080", Purpose::Production, keys, tls, true);
        assert_eq!(check(false, false), Ok(vec![no_keys, no_tls]));
        assert_eq!(check(false, true), Ok(vec![no_keys]));
        assert_eq!(check(true, false), Ok(vec![no_tls]));
        assert_eq!(check(true, true), Ok(vec![]));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let error = check("0.0.0.0:8080", Purpose::Production, false, false, false).unwrap_err().to_string();
        for part in ["0.0.0.0:8080", "strandline keys create", "127.0.0.1", "--insecure"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
