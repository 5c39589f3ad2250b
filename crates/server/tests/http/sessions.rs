//! What the first texts about Durable Functions type runs against the demo as it stands.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::{Answer, Request};
use crate::support::until;

/// A demo on a port of its own.
struct Demo {
    process: Child,
    lines: BufReader<Box<dyn Read + Send>>,
    said: String,
    address: SocketAddr,
    place: TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Demo {
    /// Starts it and waits until it says what to do next.
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.current_dir(place.path()).args(["dev", "--demo", "--listen", "127.0.0.1:0"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out: Box<dyn Read + Send> = Box::new(process.stdout.take().unwrap());
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let lines = BufReader::new(out);
        let mut demo = Self { process, lines, said: String::new(), address, place };
        demo.address = demo.hears("gRPC on http://").trim().parse().unwrap();
        demo
    }

    /// Reads on until a line holds this text; returns what follows it there.
    fn hears(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            self.said.push_str(&line);
            assert_ne!(read, 0, "it ended before it said {text:?}:\n{}", self.said);
            if let Some((_, rest)) = line.split_once(text) {
                return rest.to_owned();
            }
        }
    }

    fn ask(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    /// The path of an address on this server.
    fn path<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&format!("http://{}", self.address)).unwrap_or_else(|| panic!("{url}"))
    }
}

/// The arguments of a command as a shell reads it, without expansions.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate().flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    quoted.collect()
}

#[tokio::test]
async fn start_and_poll() {
    let demo = Demo::start();
    let started = demo.ask("POST", "/api/orchestrators/DoWork").send().await;
    assert_eq!(started.status, 202, "{started:?}");
    assert!(started.header("content-type").unwrap().starts_with("application/json"));
    let location = started.header("location").unwrap();
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let path = demo.path(location);
    assert!(path.starts_with(&format!("/runtime/webhooks/durabletask/instances/{id}")), "{location}");

    let ask = async || demo.get(path).await;
    let running = until(ask, |answer| answer.json()["runtimeStatus"] == "Running").await;
    assert_eq!((running.status, running.header("location")), (202, Some(location)));
    assert_eq!(running.json()["lastUpdatedTime"].as_str().unwrap().len(), "2019-03-16T21:20:47Z".len());
    let done = until(ask, |answer| answer.status != 202).await;
    assert_eq!((done.status, done.header("location")), (200, None));
    assert_eq!(done.json()["runtimeStatus"], "Completed");
}

#[tokio::test]
async fn start_by_a_tool() {
    let demo = Demo::start();
    let multipart = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";
    let path = "/api/orchestrators/DurableFunctionsOrchestratorSample";
    let started = demo.ask("POST", path).header("Content-Type", multipart).send().await;
    assert_eq!(started.status, 202, "{started:?}");
    let offered = started.json();
    let ask = async || demo.get(demo.path(offered["statusQueryGetUri"].as_str().unwrap())).await;
    let done = until(ask, |answer| answer.status == 200).await;
    let status = done.json();
    let (created, updated) = (&status["createdTime"], &status["lastUpdatedTime"]);
    let id = &offered["id"];
    assert_eq!(
        done.shown().1,
        format!(
            r#"{{"name":"DurableFunctionsOrchestratorSample","instanceId":{id},"runtimeStatus":"Completed","input":null,"customStatus":null,"output":["Hello Tokyo!","Hello Seattle!","Hello London!"],"createdTime":{created},"lastUpdatedTime":{updated}}}"#
        ),
    );
    // What it offers is usable as printed; here it comes too late.
    for (uri, placeholder, word) in
        [("sendEventPostUri", "{eventName}", "Go"), ("terminatePostUri", "{text}", "enough")]
    {
        let uri = offered[uri].as_str().unwrap().replace(placeholder, word);
        assert_eq!(demo.ask("POST", demo.path(&uri)).json("true").send().await.empty(), 410);
    }
    let uri = offered["rewindPostUri"].as_str().unwrap().replace("{text}", "again");
    assert_eq!(demo.ask("POST", demo.path(&uri)).send().await.status, 412);
}

/// The demo shows how to approve, by `curl` and by the command line. Both work as printed.
#[tokio::test]
async fn approve_as_the_demo_says() {
    let mut demo = Demo::start();
    let base = demo.hears("HTTP API of Durable Functions: ");
    assert_eq!(base.trim(), format!("http://{}/runtime/webhooks/durabletask", demo.address));
    let own = demo.hears("HTTP API of Strandline: ");
    assert!(own.starts_with(&format!("http://{}/api/v1, metrics: http://", demo.address)), "{own}");
    let curl = words(&demo.hears("or elsewhere: curl "));
    let cli = words(&demo.hears("or elsewhere: strandline "));
    let [d, body, url, h, header] = &curl[..] else { panic!("{curl:?}") };
    assert_eq!((d.as_str(), body.as_str(), h.as_str()), ("-d", "true", "-H"));
    let (name, value) = header.split_once(": ").unwrap();
    let raise = |demo: &Demo| demo.ask("POST", demo.path(url)).header(name, value).body(body.as_str());
    assert_eq!(raise(&demo).send().await.empty(), 202);
    assert!(demo.hears("Approval is over").contains("Completed: \"approved\""), "{}", demo.said);
    assert_eq!(raise(&demo).send().await.empty(), 410);

    // Again in a hub of its own, by the command line.
    let mut again = Demo::start();
    again.hears("or elsewhere: strandline ");
    let server = format!("http://{}", again.address);
    let arguments = cli.iter().map(|word| word.replace(&format!("http://{}", demo.address), &server));
    assert_raises(arguments.collect(), again.place.path()).await;
    let path = "/runtime/webhooks/durabletask/instances/demo-approval";
    let ask = async || again.get(path).await;
    let done = until(ask, |answer| answer.status == 200).await;
    assert_eq!(done.json()["output"], "approved");
}

async fn assert_raises(arguments: Vec<String>, place: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.args(&arguments).current_dir(place);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
