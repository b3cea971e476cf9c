//! Closed-loop load: so many clients, each with one request under way at a time, for so many seconds.
//!
//! `cargo run --release --example load -- --server http://127.0.0.1:7001 --mode mixed`. Every client has keys
//! of its own and passes contexts on, so no siblings arise; it measures requests, not conflicts. The bucket is
//! created with its defaults unless it is there. With `--client-driven` it measures in turns: requests that go to one
//! node, which passes puts on if it keeps no copy, and requests of a client that knows the ring and asks the right
//! node itself (Dynamo 6.4); it shows when there are more nodes than copies. Corrects for nothing: while a client waits it sends nothing,
//! so latencies under overload look better than an open system's would.
//!
//! Invariant: ends `--seconds` and a few requests' deadlines after it began to measure, whatever the nodes do.

use anyhow::ensure;
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rejoin::cli::connection::Connection;
use rejoin::client;
use rejoin::dynamo::bucket;
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
    /// Compare with a client that asks the right node itself, in turns, each for half of the time. The nodes'
    /// configuration has to tell their addresses, as that of `rejoin dev` does.
    #[arg(long)]
    client_driven: bool,
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

/// Who finds the node that coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driven {
    /// The node that happens to be asked.
    ByServer,
    /// The client.
    ByClient,
}

/// How requests reach the nodes.
enum Way {
    ToOne(Connection),
    ToTheRightOne(client::Bucket),
}

/// What was measured.
struct Measured {
    puts: Histogram<u64>,
    gets: Histogram<u64>,
    /// By gRPC code, or by the client's word for it.
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
    way: Way,
    arguments: Arguments,
    /// With the context of the last put; none if that is not known.
    keys: Vec<(Bytes, Option<Bytes>)>,
    dice: StdRng,
    value: Vec<u8>,
    measured: Measured,
}

impl Client {
    async fn open(
        number: u32,
        run: u64,
        driven: Driven,
        arguments: Arguments,
    ) -> anyhow::Result<Self> {
        let url = &arguments.server[number as usize % arguments.server.len()];
        let keys = (0..arguments.keys).map(|key| {
            let key = format!("{run:016x}-{number}-{key}");
            (Bytes::from(key), Some(Bytes::new()))
        });
        let mut dice = StdRng::seed_from_u64(run ^ u64::from(number));
        let mut value = vec![0; arguments.value_bytes];
        dice.fill_bytes(&mut value);
        Ok(Self {
            way: Way::open(driven, url, &arguments.bucket).await?,
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
            let filled = self.put(place).await;
            filled.map_err(|code| anyhow::anyhow!("filling the bucket: {code}"))?;
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
            if let Err(code) = outcome {
                *self.measured.errors.entry(code).or_default() += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(self)
    }

    async fn measure_put(&mut self, place: usize) -> Result<(), String> {
        if self.keys[place].1.is_none() {
            let context = self.get(place).await?;
            self.keys[place].1 = Some(context);
        }
        let start = Instant::now();
        self.put(place).await?;
        self.measured.puts.saturating_record(micros(start));
        Ok(())
    }

    async fn measure_get(&mut self, place: usize) -> Result<(), String> {
        let start = Instant::now();
        self.get(place).await?;
        self.measured.gets.saturating_record(micros(start));
        Ok(())
    }

    async fn put(&mut self, place: usize) -> Result<(), String> {
        let (key, context) = &mut self.keys[place];
        let passed = context.take().unwrap_or_default();
        let value = self.value.clone().into();
        let stored = self.way.put(&self.arguments, key, value, passed).await?;
        *context = Some(stored).filter(|context| !context.is_empty());
        Ok(())
    }

    async fn get(&self, place: usize) -> Result<Bytes, String> {
        self.way.get(&self.arguments, &self.keys[place].0).await
    }
}

impl Way {
    async fn open(driven: Driven, url: &str, bucket: &str) -> anyhow::Result<Self> {
        Ok(match driven {
            Driven::ByServer => Self::ToOne(Connection::to(url, REQUEST_TIMEOUT).await?),
            Driven::ByClient => {
                Self::ToTheRightOne(client::Client::connect([url]).await?.bucket(bucket))
            }
        })
    }

    /// Returns the context of the write.
    async fn put(
        &self,
        arguments: &Arguments,
        key: &Bytes,
        value: Bytes,
        context: Bytes,
    ) -> Result<Bytes, String> {
        match self {
            Self::ToOne(connection) => {
                let asked = connection.request(proto::PutRequest {
                    bucket: arguments.bucket.clone(),
                    key: key.clone(),
                    value,
                    context,
                    ack: match arguments.ack {
                        None => proto::Ack::Unspecified.into(),
                        Some(Ack::Buffered) => proto::Ack::Buffered.into(),
                        Some(Ack::Durable) => proto::Ack::Durable.into(),
                    },
                    ..proto::PutRequest::default()
                });
                let stored = connection.kv().put(asked).await.map_err(code_of)?;
                Ok(stored.into_inner().context)
            }
            Self::ToTheRightOne(bucket) => {
                let mut put = bucket.put(key, value).context(client::Context(context));
                put = match arguments.ack {
                    None => put,
                    Some(Ack::Buffered) => put.ack(bucket::Ack::Buffered),
                    Some(Ack::Durable) => put.ack(bucket::Ack::Durable),
                };
                Ok(put.await.map_err(word_of)?.context.0)
            }
        }
    }

    /// Returns the context of what was found.
    async fn get(&self, arguments: &Arguments, key: &Bytes) -> Result<Bytes, String> {
        match self {
            Self::ToOne(connection) => {
                let asked = connection.request(proto::GetRequest {
                    bucket: arguments.bucket.clone(),
                    key: key.clone(),
                    ..proto::GetRequest::default()
                });
                let found = connection.kv().get(asked).await.map_err(code_of)?;
                Ok(found.into_inner().context)
            }
            Self::ToTheRightOne(bucket) => Ok(bucket.get(key).await.map_err(word_of)?.context.0),
        }
    }
}

fn code_of(status: Status) -> String {
    format!("{:?}", status.code())
}

/// The name of the variant.
fn word_of(error: client::Error) -> String {
    let told = format!("{error:?}");
    let end = told
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(told.len());
    told[..end].to_owned()
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

async fn prepare(arguments: &Arguments, driven: Driven) -> anyhow::Result<Vec<Client>> {
    let run = rand::random();
    let fills = arguments.mode != Mode::Put;
    let clients = (0..arguments.clients).map(|number| {
        let arguments = arguments.clone();
        async move {
            let mut client = Client::open(number, run, driven, arguments).await?;
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

fn report(arguments: &Arguments, measured: &Measured, elapsed: Duration) -> Value {
    json!({
        "mode": format!("{:?}", arguments.mode).to_lowercase(),
        "clients": arguments.clients,
        "value_bytes": arguments.value_bytes,
        "ack": arguments.ack.map(|ack| format!("{ack:?}").to_lowercase()),
        "elapsed_s": elapsed.as_secs_f64(),
        "put": latencies(&measured.puts, elapsed),
        "get": latencies(&measured.gets, elapsed),
        "errors": measured.errors,
    })
}

fn print(arguments: &Arguments, measured: &Measured, elapsed: Duration) {
    match arguments.json {
        true => println!("{}", report(arguments, measured, elapsed)),
        false => print_text_of(measured, elapsed),
    }
}

fn print_text_of(measured: &Measured, elapsed: Duration) {
    print_text("put", &measured.puts, elapsed);
    print_text("get", &measured.gets, elapsed);
    for (code, count) in &measured.errors {
        println!("errors  {code}  {count}");
    }
}

/// Runs clients for so long and adds what they measured. Returns how long it took.
async fn measure(clients: &mut Vec<Client>, time: Duration) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let end = start + time;
    let ran = std::mem::take(clients)
        .into_iter()
        .map(|client| client.run(end));
    *clients = together(ran).await?;
    Ok(start.elapsed())
}

fn sum(clients: &[Client]) -> anyhow::Result<Measured> {
    let mut measured = Measured::new()?;
    for client in clients {
        measured.add(&client.measured)?;
    }
    Ok(measured)
}

fn ensure_some(measured: &Measured) -> anyhow::Result<()> {
    let succeeded = measured.puts.len() + measured.gets.len();
    ensure!(succeeded > 0, "no request succeeded");
    Ok(())
}

/// In turns, so that what else the machine does meets both.
async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let mut by_server = prepare(arguments, Driven::ByServer).await?;
    let mut by_client = prepare(arguments, Driven::ByClient).await?;
    let turn = Duration::from_secs(arguments.seconds) / 4;
    let mut elapsed = [Duration::ZERO; 2];
    for _ in 0..2 {
        elapsed[0] += measure(&mut by_server, turn).await?;
        elapsed[1] += measure(&mut by_client, turn).await?;
    }
    let (server, client) = (sum(&by_server)?, sum(&by_client)?);
    ensure_some(&server)?;
    ensure_some(&client)?;
    let ratios = json!({
        "put": ratios(&server.puts, &client.puts, elapsed),
        "get": ratios(&server.gets, &client.gets, elapsed),
    });
    if arguments.json {
        let report = json!({
            "server_driven": report(arguments, &server, elapsed[0]),
            "client_driven": report(arguments, &client, elapsed[1]),
            "client_over_server": ratios,
        });
        println!("{report}");
        return Ok(());
    }
    println!("server-driven");
    print_text_of(&server, elapsed[0]);
    println!("client-driven");
    print_text_of(&client, elapsed[1]);
    println!("client-driven over server-driven: {ratios}");
    Ok(())
}

/// Each of the client-driven figures over the server-driven one.
fn ratios(server: &Histogram<u64>, client: &Histogram<u64>, elapsed: [Duration; 2]) -> Value {
    if server.is_empty() || client.is_empty() {
        return Value::Null;
    }
    let rounded = |ratio: f64| (ratio * 1000.0).round() / 1000.0;
    let rate = |measured: &Histogram<u64>, elapsed: Duration| {
        measured.len() as f64 / elapsed.as_secs_f64()
    };
    let at = |quantile: f64| {
        let server = server.value_at_quantile(quantile) as f64;
        rounded(client.value_at_quantile(quantile) as f64 / server)
    };
    json!({
        "ops_per_s": rounded(rate(client, elapsed[1]) / rate(server, elapsed[0])),
        "mean": rounded(client.mean() / server.mean()),
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    create_bucket(&arguments).await?;
    if arguments.client_driven {
        return compare(&arguments).await;
    }
    let mut clients = prepare(&arguments, Driven::ByServer).await?;
    let elapsed = measure(&mut clients, Duration::from_secs(arguments.seconds)).await?;
    let measured = sum(&clients)?;
    print(&arguments, &measured, elapsed);
    ensure_some(&measured)
}
