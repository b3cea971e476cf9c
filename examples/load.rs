//! Closed-loop load: so many clients, each with one request under way at a time, for so many seconds.
//!
//! `cargo run --release --example load -- --server http://127.0.0.1:7001 --mode mixed`. Every client has keys
//! of its own and passes contexts on, so no siblings arise; it measures requests, not conflicts. The bucket is
//! created with its defaults unless it is there. Corrects for nothing: while a client waits it sends nothing,
//! so latencies under overload look better than an open system's would.
//!
//! Invariant: ends `--seconds` and two requests' deadlines after it began to measure, whatever the nodes do.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::cli::connection::Connection;
use rejoin::wire::proto::v1 as proto;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Above any deadline: what is recorded saturates here, and would do so silently at a lower bound.
const LATENCY_MAX_US: u64 = 60_000_000;
/// After an error, so that a node that is down is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

/// Puts load on a cluster and prints operations per second and latencies.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// A node's client listener; may be given several times, clients are spread over them.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7001")]
    server: Vec<String>,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    #[arg(long, default_value = "mixed")]
    mode: Mode,
    #[arg(long, default_value = "load")]
    bucket: String,
    /// In place of the bucket's choice.
    #[arg(long)]
    ack: Option<Ack>,
    /// Keys of each client.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Put,
    Get,
    /// Half and half.
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ack {
    Buffered,
    Durable,
}

/// What was measured.
struct Measured {
    puts: Histogram<u64>,
    gets: Histogram<u64>,
    /// By gRPC code.
    errors: BTreeMap<String, u64>,
}

impl Measured {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            puts: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?,
            gets: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?,
            errors: BTreeMap::new(),
        })
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.puts.add(&other.puts)?;
        self.gets.add(&other.gets)?;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        Ok(())
    }
}

/// One client and its keys.
struct Client {
    connection: Connection,
    arguments: Arguments,
    /// With the context of the last put; none if that is not known.
    keys: Vec<(Bytes, Option<Bytes>)>,
    dice: StdRng,
    value: Vec<u8>,
    measured: Measured,
}

impl Client {
    async fn open(number: u32, run: u64, arguments: Arguments) -> anyhow::Result<Self> {
        let url = &arguments.server[number as usize % arguments.server.len()];
        let keys = (0..arguments.keys).map(|key| {
            let key = format!("{run:016x}-{number}-{key}");
            (Bytes::from(key), Some(Bytes::new()))
        });
        let mut dice = StdRng::seed_from_u64(run ^ u64::from(number));
        let mut value = vec![0; arguments.value_bytes];
        dice.fill_bytes(&mut value);
        Ok(Self {
            connection: Connection::to(url, REQUEST_TIMEOUT).await?,
            keys: keys.collect(),
            dice,
            value,
            measured: Measured::new()?,
            arguments,
        })
    }

    /// Gives gets something to find.
    async fn fill(&mut self) -> anyhow::Result<()> {
        for place in 0..self.keys.len() {
            self.put(place).await.context("filling the bucket")?;
        }
        Ok(())
    }

    async fn run(mut self, end: Instant) -> anyhow::Result<Self> {
        while Instant::now() < end {
            let place = self.dice.random_range(0..self.keys.len());
            let writes = match self.arguments.mode {
                Mode::Put => true,
                Mode::Get => false,
                Mode::Mixed => self.dice.random(),
            };
            let outcome = if writes {
                self.measure_put(place).await
            } else {
                self.measure_get(place).await
            };
            if let Err(status) = outcome {
                let code = format!("{:?}", status.code());
                *self.measured.errors.entry(code).or_default() += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(self)
    }

    async fn measure_put(&mut self, place: usize) -> Result<(), Status> {
        if self.keys[place].1.is_none() {
            let context = self.get(place).await?;
            self.keys[place].1 = Some(context);
        }
        let start = Instant::now();
        self.put(place).await?;
        self.measured.puts.saturating_record(micros(start));
        Ok(())
    }

    async fn measure_get(&mut self, place: usize) -> Result<(), Status> {
        let start = Instant::now();
        self.get(place).await?;
        self.measured.gets.saturating_record(micros(start));
        Ok(())
    }

    async fn put(&mut self, place: usize) -> Result<(), Status> {
        let (key, context) = &mut self.keys[place];
        let asked = proto::PutRequest {
            bucket: self.arguments.bucket.clone(),
            key: key.clone(),
            value: self.value.clone().into(),
            context: context.take().unwrap_or_default(),
            ack: match self.arguments.ack {
                None => proto::Ack::Unspecified.into(),
                Some(Ack::Buffered) => proto::Ack::Buffered.into(),
                Some(Ack::Durable) => proto::Ack::Durable.into(),
            },
            ..proto::PutRequest::default()
        };
        let asked = self.connection.request(asked);
        let stored = self.connection.kv().put(asked).await?.into_inner();
        *context = Some(stored.context).filter(|context| !context.is_empty());
        Ok(())
    }

    async fn get(&self, place: usize) -> Result<Bytes, Status> {
        let asked = proto::GetRequest {
            bucket: self.arguments.bucket.clone(),
            key: self.keys[place].0.clone(),
            ..proto::GetRequest::default()
        };
        let asked = self.connection.request(asked);
        let found = self.connection.kv().get(asked).await?.into_inner();
        Ok(found.context)
    }
}

fn micros(start: Instant) -> u64 {
    start.elapsed().as_micros() as u64
}

/// Creates the bucket unless it is there.
async fn create_bucket(arguments: &Arguments) -> anyhow::Result<()> {
    let connection = Connection::to(&arguments.server[0], REQUEST_TIMEOUT).await?;
    let asked = connection.request(proto::RingRequest {});
    let ring = connection.cluster().ring(asked).await?.into_inner();
    let asked = connection.request(proto::CreateBucketRequest {
        bucket: arguments.bucket.clone(),
        properties: Some(proto::Properties {
            n: Some(ring.members.len().min(3) as u32),
            ..proto::Properties::default()
        }),
        replace: false,
    });
    match connection.buckets().create(asked).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status.into()),
        _ => Ok(()),
    }
}

/// All clients side by side.
async fn together<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = anyhow::Result<T>> + Send + 'static>,
) -> anyhow::Result<Vec<T>> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await??);
    }
    Ok(done)
}

async fn prepare(arguments: &Arguments) -> anyhow::Result<Vec<Client>> {
    create_bucket(arguments).await?;
    let run = rand::random();
    let fills = arguments.mode != Mode::Put;
    let clients = (0..arguments.clients).map(|number| {
        let arguments = arguments.clone();
        async move {
            let mut client = Client::open(number, run, arguments).await?;
            if fills {
                client.fill().await?;
            }
            Ok(client)
        }
    });
    together(clients).await
}

fn latencies(measured: &Histogram<u64>, elapsed: Duration) -> Value {
    json!({
        "ops": measured.len(),
        "ops_per_s": (measured.len() as f64 / elapsed.as_secs_f64()).round(),
        "p50_us": measured.value_at_quantile(0.5),
        "p99_us": measured.value_at_quantile(0.99),
        "p999_us": measured.value_at_quantile(0.999),
        "max_us": measured.max(),
    })
}

fn print_text(name: &str, measured: &Histogram<u64>, elapsed: Duration) {
    if measured.is_empty() {
        return;
    }
    let ms = |us: u64| us as f64 / 1000.0;
    println!(
        "{name}  {:.0} ops/s  p50 {:.2} ms  p99 {:.2} ms  p99.9 {:.2} ms  max {:.2} ms",
        measured.len() as f64 / elapsed.as_secs_f64(),
        ms(measured.value_at_quantile(0.5)),
        ms(measured.value_at_quantile(0.99)),
        ms(measured.value_at_quantile(0.999)),
        ms(measured.max()),
    );
}

fn print(arguments: &Arguments, measured: &Measured, elapsed: Duration) {
    if arguments.json {
        let report = json!({
            "mode": format!("{:?}", arguments.mode).to_lowercase(),
            "clients": arguments.clients,
            "value_bytes": arguments.value_bytes,
            "ack": arguments.ack.map(|ack| format!("{ack:?}").to_lowercase()),
            "elapsed_s": elapsed.as_secs_f64(),
            "put": latencies(&measured.puts, elapsed),
            "get": latencies(&measured.gets, elapsed),
            "errors": measured.errors,
        });
        println!("{report}");
        return;
    }
    print_text("put", &measured.puts, elapsed);
    print_text("get", &measured.gets, elapsed);
    for (code, count) in &measured.errors {
        println!("errors  {code}  {count}");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let clients = prepare(&arguments).await?;
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let clients = together(clients.into_iter().map(|client| client.run(end))).await?;
    let elapsed = start.elapsed();
    let mut measured = Measured::new()?;
    for client in &clients {
        measured.add(&client.measured)?;
    }
    print(&arguments, &measured, elapsed);
    let succeeded = measured.puts.len() + measured.gets.len();
    ensure!(succeeded > 0, "no request succeeded");
    Ok(())
}
