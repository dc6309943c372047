//! A bare rust-libp2p peer. Usage and output: tests/conformance/README.md.

mod serve;

use std::{error::Error, time::{Duration, Instant}};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    core::upgrade::Version, identify, identity::Keypair, multiaddr::Protocol, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent}, tcp, yamux, Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder,
};
use libp2p_stream as stream;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

const ECHO: StreamProtocol = StreamProtocol::new("/plexus/test-echo/1");
const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
const BLOCK: usize = 64 * 1024;
const SMALL_MESSAGE: usize = 4096;
const WARM_UP_BYTES: u64 = 32 << 20;
const LIMIT: Duration = Duration::from_secs(30);

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: stream::Behaviour,
    echo: serve::Serve,
    perf: serve::Serve,
}

fn print(line: Value) {
    println!("{line}");
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn cpu_seconds() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let of = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn make_swarm(ping_interval: Duration) -> Outcome<Swarm<Behaviour>> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key: &Keypair| Behaviour {
            identify: identify::Behaviour::new(
                identify::Config::new("conformance/1".into(), key.public()).with_agent_version("rust-libp2p".into()),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(ping_interval)),
            stream: stream::Behaviour::new(),
            echo: serve::Serve { protocol: ECHO, serve: |stream| Box::pin(async { let _ = serve_echo(stream).await; }) },
            perf: serve::Serve { protocol: PERF, serve: |stream| Box::pin(async { let _ = serve_perf(stream).await; }) },
        })?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(300))
                .with_max_negotiating_inbound_streams(1024)
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build();
    Ok(swarm)
}

enum Command {
    Dial(Multiaddr),
    Disconnect(PeerId),
}

enum Seen {
    Connected,
    Closed,
    Failed(String),
    Identified(identify::Info),
    Pinged(Duration),
}

/// The swarm in a task of its own; it is told what to do and tells what it sees.
struct Node {
    commands: mpsc::UnboundedSender<Command>,
    seen: mpsc::UnboundedReceiver<Seen>,
    streams: stream::Control,
    peer: PeerId,
    address: Multiaddr,
}

impl Node {
    fn new(address: &str, ping_interval: Duration) -> Outcome<Node> {
        let address: Multiaddr = address.parse()?;
        let Some(Protocol::P2p(peer)) = address.iter().last() else { return Err("the address names no peer".into()) };
        let mut swarm = make_swarm(ping_interval)?;
        let streams = swarm.behaviour().stream.new_control();
        let (commands, mut todo) = mpsc::unbounded_channel();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let found = tokio::select! {
                    command = todo.recv() => match command {
                        Some(Command::Dial(to)) => { let _ = swarm.dial(to); continue }
                        Some(Command::Disconnect(peer)) => { let _ = swarm.disconnect_peer_id(peer); continue }
                        None => return,
                    },
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { .. } => Seen::Connected,
                        SwarmEvent::ConnectionClosed { .. } => Seen::Closed,
                        SwarmEvent::OutgoingConnectionError { error, .. } => Seen::Failed(error.to_string()),
                        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { info, .. })) => Seen::Identified(info),
                        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result: Ok(took), .. })) => Seen::Pinged(took),
                        _ => continue,
                    },
                };
                let _ = tell.send(found);
            }
        });
        Ok(Node { commands, seen, streams, peer, address })
    }

    async fn next(&mut self) -> Outcome<Seen> {
        tokio::time::timeout(LIMIT, self.seen.recv()).await?.ok_or("the swarm ended".into())
    }

    async fn connect(&mut self) -> Outcome {
        self.commands.send(Command::Dial(self.address.clone()))?;
        loop {
            match self.next().await? {
                Seen::Connected => return Ok(()),
                Seen::Failed(reason) => return Err(reason.into()),
                _ => {}
            }
        }
    }

    async fn disconnect(&mut self) -> Outcome {
        self.commands.send(Command::Disconnect(self.peer))?;
        while !matches!(self.next().await?, Seen::Closed) {}
        Ok(())
    }
}

async fn serve_echo(mut stream: Stream) -> std::io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.close().await;
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn count_to_end(stream: &mut Stream) -> std::io::Result<u64> {
    let mut buffer = vec![0; 4 * BLOCK];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

async fn send_count(stream: &mut Stream, mut count: u64) -> std::io::Result<()> {
    let zeros = vec![0; BLOCK];
    while count > 0 {
        let part = count.min(BLOCK as u64);
        stream.write_all(&zeros[..part as usize]).await?;
        count -= part;
    }
    stream.close().await
}

async fn serve_perf(mut stream: Stream) -> std::io::Result<()> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    count_to_end(&mut stream).await?;
    send_count(&mut stream, u64::from_be_bytes(head)).await
}

struct Echoed {
    bytes: usize,
    sent: String,
    received: String,
}

async fn exchange(mut streams: stream::Control, peer: PeerId, bytes: usize, seed: u64) -> Outcome<Echoed> {
    let (mut reader, mut writer) = streams.open_stream(peer, ECHO).await?.split();
    let send = async {
        let (mut sent, mut state, mut left, mut part) = (Sha256::new(), seed, bytes, vec![0; BLOCK]);
        while left > 0 {
            for word in part.chunks_exact_mut(8) {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                word.copy_from_slice(&(state ^ state >> 29).to_le_bytes());
            }
            part.truncate(left);
            sent.update(&part);
            writer.write_all(&part).await?;
            left -= part.len();
        }
        writer.close().await?;
        Outcome::Ok(sent)
    };
    let receive = async {
        let (mut received, mut count, mut buffer) = (Sha256::new(), 0, vec![0; BLOCK]);
        loop {
            match reader.read(&mut buffer).await? {
                0 => return Outcome::Ok((received, count)),
                part => {
                    received.update(&buffer[..part]);
                    count += part;
                }
            }
        }
    };
    let (sent, (received, bytes)) = tokio::time::timeout(LIMIT, async { tokio::try_join!(send, receive) }).await??;
    let hex = |digest: Sha256| digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Echoed { bytes, sent: hex(sent), received: hex(received) })
}

async fn dial(mut node: Node, pings: usize, echo_bytes: usize, streams: usize) -> Outcome {
    let start = Instant::now();
    node.connect().await?;
    print(json!({"step": "connect", "milliseconds": milliseconds(start)}));

    let (mut identified, mut times) = (false, Vec::new());
    while !identified || times.len() < pings {
        match node.next().await? {
            Seen::Identified(info) => {
                identified = true;
                let protocols: Vec<_> = info.protocols.iter().map(|name| name.to_string()).collect();
                print(json!({"step": "identify", "agent": info.agent_version, "protocols": protocols}));
            }
            Seen::Pinged(took) if times.len() < pings => times.push(took.as_secs_f64() * 1e6),
            Seen::Closed => return Err("the connection was closed".into()),
            _ => {}
        }
    }
    times.sort_by(f64::total_cmp);
    print(json!({"step": "ping", "count": times.len(), "median_microseconds": times[times.len() / 2]}));

    let start = Instant::now();
    let echo = exchange(node.streams.clone(), node.peer, echo_bytes, 1).await?;
    print(json!({"step": "echo", "bytes": echo.bytes, "sent": echo.sent, "received": echo.received,
                 "seconds": start.elapsed().as_secs_f64()}));
    if echo.sent != echo.received {
        return Err("the echo differs".into());
    }

    let asked = (0..streams).map(|number| tokio::spawn(exchange(node.streams.clone(), node.peer, SMALL_MESSAGE, number as u64)));
    let mut good = 0;
    for answer in futures::future::join_all(asked).await {
        match answer? {
            Ok(echo) if echo.bytes == SMALL_MESSAGE && echo.sent == echo.received => good += 1,
            Ok(_) => {}
            Err(error) => print(json!({"stream_error": error.to_string()})),
        }
    }
    print(json!({"step": "streams", "count": streams, "good": good}));
    if good != streams {
        return Err(format!("{good} of {streams} streams answered").into());
    }
    Ok(())
}

/// A peer that is no member: whatever it tries, not a byte of any protocol comes back.
async fn refused(mut node: Node) -> Outcome {
    let connected = node.connect().await.is_ok();
    let mut protocols = 0;
    for name in ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/plexus/pair/1", "/plexus/task/1", "/plexus/test-echo/1"] {
        let mut streams = node.streams.clone();
        let attempt = async {
            let mut stream = streams.open_stream(node.peer, StreamProtocol::new(name)).await.ok()?;
            stream.close().await.ok()?;
            stream.read(&mut [0]).await.ok() // negotiation is lazy: only an answer counts
        };
        if let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(500), attempt).await {
            protocols += 1;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut identified, mut open) = (false, i32::from(connected));
    while let Ok(seen) = node.seen.try_recv() {
        match seen {
            Seen::Identified(_) => identified = true,
            Seen::Connected => open += 1,
            Seen::Closed => open -= 1,
            _ => {}
        }
    }
    print(json!({"step": "refused", "connected": connected, "open_connections": open, "identified": identified, "protocols": protocols}));
    if identified || protocols > 0 || open > 0 {
        return Err("a stranger was served".into());
    }
    Ok(())
}

async fn perf(node: &mut Node, upload: u64, download: u64) -> Outcome {
    let mut stream = node.streams.open_stream(node.peer, PERF).await?;
    stream.write_all(&download.to_be_bytes()).await?;
    send_count(&mut stream, upload).await?;
    let count = count_to_end(&mut stream).await?;
    if count != download {
        return Err(format!("{count} bytes came, {download} were asked for").into());
    }
    Ok(())
}

async fn bulk(mut node: Node, upload: u64, download: u64) -> Outcome {
    node.connect().await?;
    perf(&mut node, WARM_UP_BYTES, WARM_UP_BYTES).await?;
    print(json!({"warm": true}));
    for (direction, upload, download) in [("upload", upload, 0), ("download", 0, download)] {
        if upload + download == 0 {
            continue;
        }
        let (start, cpu) = (Instant::now(), cpu_seconds());
        perf(&mut node, upload, download).await?;
        print(json!({"direction": direction, "bytes": upload + download, "seconds": start.elapsed().as_secs_f64(),
                     "cpu_seconds": cpu_seconds() - cpu}));
    }
    Ok(())
}

async fn first_byte(mut node: Node, count: usize) -> Outcome {
    for _ in 0..count {
        let start = Instant::now();
        node.connect().await?;
        let mut stream = node.streams.open_stream(node.peer, ECHO).await?;
        stream.write_all(&[0]).await?;
        stream.flush().await?;
        stream.read_exact(&mut [0]).await?;
        print(json!({"first_byte_milliseconds": milliseconds(start)}));
        node.disconnect().await?;
    }
    Ok(())
}

async fn listen(address: &str) -> Outcome {
    let mut swarm = make_swarm(Duration::from_secs(15))?;
    swarm.listen_on(address.parse()?)?;
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = ended.recv() => return Ok(()),
            event = swarm.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event {
                print(json!({"listening": format!("{address}/p2p/{}", swarm.local_peer_id())}));
            },
        }
    }
}

fn option(arguments: &[String], name: &str, otherwise: u64) -> Outcome<u64> {
    match arguments.iter().position(|argument| argument == name) {
        Some(at) => Ok(arguments.get(at + 1).ok_or("an option lacks its value")?.parse()?),
        None => Ok(otherwise),
    }
}

async fn run(arguments: Vec<String>) -> Outcome {
    let command = arguments.get(1).ok_or("listen, dial, bulk or first-byte?")?;
    let address = arguments.get(2).map_or("/ip4/127.0.0.1/tcp/0", String::as_str);
    let seldom = Duration::from_secs(15);
    match command.as_str() {
        "listen" => listen(address).await,
        "bulk" => bulk(Node::new(address, seldom)?, option(&arguments, "--upload", 0)?, option(&arguments, "--download", 0)?).await,
        "first-byte" => first_byte(Node::new(address, seldom)?, option(&arguments, "--count", 1)? as usize).await,
        _ if arguments.iter().any(|argument| argument == "--expect-refused") => refused(Node::new(address, seldom)?).await,
        _ => {
            let wanted = |name, otherwise| option(&arguments, name, otherwise).map(|value| value as usize);
            let node = Node::new(address, Duration::from_millis(1))?;
            dial(node, wanted("--pings", 100)?, wanted("--echo-bytes", 64 << 20)?, wanted("--streams", 200)?).await
        }
    }
}

#[tokio::main]
async fn main() {
    if let Err(error) = run(std::env::args().collect()).await {
        print(json!({"error": error.to_string()}));
        std::process::exit(1);
    }
}
