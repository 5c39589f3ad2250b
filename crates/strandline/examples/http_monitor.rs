//! Monitors a job over HTTP: asks a service for it, looks again until it is done, and tells the result.
//!
//! The service takes the job with `202 Accepted` and says where its result will be. Between two looks the
//! orchestration holds no thread and no connection, only a timer in its history; a restart in the middle
//! changes nothing.
//!
//! `cargo run --features http --example http_monitor -- 3000000` counts primes below a number, with a
//! service of its own on this machine; `--dir PATH` keeps the hub.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use strandline::http::HttpPolicy;
use strandline::prelude::*;

#[derive(Serialize, Deserialize)]
struct Job {
    service: String,
    below: usize,
}

#[orchestrator(name = "HttpMonitor")]
async fn http_monitor(ctx: OrchestrationContext, job: Job) -> Result<String> {
    // A service that must not do it twice knows the job by this.
    let key = ctx.new_guid().to_string();
    let request = HttpRequest::post(job.service)
        .content(job.below.to_string())
        .header("Idempotency-Key", key)
        .timeout(secs(10))
        .retry(HttpRetryOptions::new(secs(1), 4).backoff_coefficient(2.0).status_codes([429, 502, 503]));
    let response = ctx.timeout(hours(1), ctx.call_http(request)).await?;
    ensure!(response.is_success(), "the service says {}: {}", response.status_code, response.content);
    Ok(response.content)
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) result: String,
    /// How often the service was asked.
    pub(crate) requests: usize,
}

pub(crate) async fn run(dir: &Path, below: usize) -> Result<Report> {
    let service = Service::start()?;
    let hub = TaskHub::open(dir).await?;
    // This machine is not public: it must be allowed.
    let policy = HttpPolicy::new().allow(service.address.to_string());
    hub.worker().register((http_monitor, policy)).start()?;
    let job = Job { service: format!("http://{}/jobs", service.address), below };
    let result = hub.client().start(http_monitor, job).await?.output().await?;
    hub.close().await?;
    Ok(Report { result, requests: service.requests.load(Ordering::Relaxed) })
}

/// A service that counts primes, for as long as the program runs.
struct Service {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Service {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, requests) = (listener.local_addr()?, Arc::<AtomicUsize>::default());
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            let mut job = None;
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = answer(stream, &mut job) {
                    eprintln!("the service lost a connection: {error}");
                }
            }
        });
        Ok(Self { address, requests })
    }
}

type Counting = thread::JoinHandle<usize>;

fn answer(stream: TcpStream, job: &mut Option<Counting>) -> std::io::Result<()> {
    let mut request = BufReader::new(&stream);
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        request.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut content = vec![0; length];
    std::io::Read::read_exact(&mut request, &mut content)?;
    if first.starts_with("POST") {
        let below = String::from_utf8_lossy(&content).parse().unwrap_or(0);
        *job = Some(thread::spawn(move || count_primes(below)));
    }
    let (status, headers, content) = match job.take_if(|job| job.is_finished() && first.starts_with("GET")) {
        Some(job) => ("200 OK", "", job.join().map_or("?".to_owned(), |count| format!("{count} primes"))),
        None => ("202 Accepted", "Location: /jobs/1\r\nRetry-After: 1\r\n", String::new()),
    };
    let length = content.len();
    let mut stream = &stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{content}"
    )
}

fn count_primes(below: usize) -> usize {
    let is_prime = |n: &usize| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..below).filter(is_prime).count()
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut below = 3_000_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => below = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    let report = run(&dir, below).await?;
    println!("{} below {below}, after {} requests", report.result, report.requests);
    Ok(())
}
