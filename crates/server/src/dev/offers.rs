//! What can be reached over the network, as addresses to copy.

use std::net::SocketAddr;

use super::board::Board;

/// Where the CLI looks for a server when it is told nothing.
const CLI_DEFAULT: &str = "http://127.0.0.1:7071";

/// The addresses of a server. The first one stands for all where one suffices.
pub(super) struct Offers {
    first: String,
    all: String,
}

impl Offers {
    /// `None` for a server that listens nowhere.
    pub(super) fn at(addresses: &[SocketAddr]) -> Option<Self> {
        let addresses: Vec<_> = addresses.iter().map(|at| format!("http://{at}")).collect();
        let first = addresses.first()?.clone();
        Some(Self { first, all: addresses.join(", ") })
    }

    pub(super) fn tell(&self, board: &Board) {
        let Self { first, all } = self;
        board.say(format_args!("gRPC on {all}"));
        board.say(format_args!("HTTP API of Durable Functions: {}", self.durable()));
        board.say(format_args!("HTTP API of Strandline: {first}/api/v1, metrics: {first}/metrics"));
    }

    fn durable(&self) -> String {
        format!("{}/runtime/webhooks/durabletask", self.first)
    }

    /// Commands that say yes to an instance: by `curl` and by this program.
    pub(super) fn raise(&self, id: &str, event: &str) -> [String; 2] {
        let curl = format!(
            r#"curl -d "true" {}/instances/{id}/raiseEvent/{event} -H "Content-Type: application/json""#,
            self.durable()
        );
        let mut cli = format!("strandline raise {id} {event} -d true");
        if self.first != CLI_DEFAULT {
            cli.push_str(&format!(" --server {}", self.first));
        }
        [curl, cli]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_server_they_are_for() {
        let offers = |text: &str| Offers::at(&[text.parse().unwrap()]).unwrap();
        let [curl, cli] = offers("127.0.0.1:7071").raise("demo-approval", "ApprovalEvent");
        assert_eq!(
            curl,
            r#"curl -d "true" http://127.0.0.1:7071/runtime/webhooks/durabletask/instances/demo-approval/raiseEvent/ApprovalEvent -H "Content-Type: application/json""#
        );
        assert_eq!(cli, "strandline raise demo-approval ApprovalEvent -d true");
        let [curl, cli] = offers("[::1]:8080").raise("a", "Go");
        assert!(curl.contains(" http://[::1]:8080/runtime/"), "{curl}");
        assert_eq!(cli, "strandline raise a Go -d true --server http://[::1]:8080");
        assert!(Offers::at(&[]).is_none());
    }
}
