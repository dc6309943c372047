// A bare js-libp2p peer. Usage and output: tests/conformance/README.md.
import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { mdns } from '@libp2p/mdns'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const echoProtocol = '/plexus/test-echo/1'
const perfProtocol = '/perf/1.0.0'
const block = 64 * 1024
const smallMessage = 4096
const warmUpBytes = 32 * 1024 * 1024
const manyStreams = { maxInboundStreams: 1024, maxOutboundStreams: 1024 }

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const now = () => performance.now()
const cpuSeconds = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6 }
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]

async function makeNode (listen, peerDiscovery = []) {
  return createLibp2p({
    addresses: { listen },
    peerDiscovery,
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
    connectionMonitor: { enabled: false },
    connectionManager: { reconnectRetries: 0, inboundConnectionThreshold: 10000 }
  })
}

async function send (stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain()
}

async function sendCount (stream, count) {
  const zeros = new Uint8Array(block)
  for (; count > 0; count -= Math.min(count, block)) await send(stream, zeros.subarray(0, Math.min(count, block)))
  await stream.close()
}

// Gives every piece to `take` until the other side ends. The iterator of a js stream would wait for ever if the end
// came before it was asked for.
function receive (stream, take) {
  return new Promise((resolve, reject) => {
    stream.addEventListener('message', (event) => take(event.data))
    stream.addEventListener('end', () => resolve())
    stream.addEventListener('close', (event) => event.error == null ? resolve() : reject(event.error))
    if (stream.readableEnded) resolve()
  })
}

function waitForRoom (stream) {
  if (stream.readStatus !== 'readable') return
  stream.pause()
  stream.onDrain().then(() => { if (stream.readStatus === 'paused') stream.resume() }, () => {})
}

async function serveEcho (stream) {
  await receive(stream, (bytes) => { if (!stream.send(bytes)) waitForRoom(stream) })
  await stream.close()
}

// The u64 in front says how many bytes the client wants back.
async function servePerf (stream) {
  const head = new Uint8Array(8)
  let filled = 0
  await receive(stream, (bytes) => {
    if (filled === head.length) return
    const part = bytes.subarray(0, Math.min(bytes.byteLength, head.length - filled))
    head.set(part, filled)
    filled += part.byteLength
  })
  if (filled === head.length) await sendCount(stream, Number(new DataView(head.buffer).getBigUint64(0)))
}

// Deterministic bytes, another block every time.
function * blocks (bytes, seed) {
  const words = new BigUint64Array(block / 8)
  let state = BigInt(seed) + 1n
  for (let index = 0; index < words.length; ++index) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n)
    words[index] = state
  }
  for (let sent = 0, number = 0n; sent < bytes; sent += block, ++number) {
    words[Number(number) % words.length] ^= number * 0x9e3779b97f4a7c15n & 0xffffffffffffffffn
    yield new Uint8Array(words.buffer.slice(0, Math.min(block, bytes - sent)))
  }
}

async function exchange (connection, bytes, seed) {
  const stream = await connection.newStream(echoProtocol, manyStreams)
  const sent = createHash('sha256')
  const received = createHash('sha256')
  let count = 0
  const sending = (async () => {
    for (const part of blocks(bytes, seed)) {
      sent.update(part)
      await send(stream, part)
    }
    await stream.close()
  })()
  await receive(stream, (part) => {
    received.update(part.subarray())
    count += part.byteLength
  })
  await sending
  return { bytes: count, sent: sent.digest('hex'), received: received.digest('hex') }
}

async function runDial (node, address, options) {
  const start = now()
  const identified = new Promise((resolve) => node.addEventListener('peer:identify', (event) => resolve(event.detail), { once: true }))
  const connection = await node.dial(multiaddr(address), { signal: AbortSignal.timeout(15000) })
  print({ step: 'connect', milliseconds: now() - start })

  const found = await identified
  print({ step: 'identify', agent: found.agentVersion, protocols: found.protocols })

  const times = []
  for (let count = 0; count < options.pings; ++count) {
    const before = now()
    await node.services.ping.ping(connection.remotePeer)
    times.push((now() - before) * 1000)
  }
  print({ step: 'ping', count: times.length, median_microseconds: median(times) })

  const before = now()
  const echoed = await exchange(connection, options.echoBytes, 1)
  print({ step: 'echo', ...echoed, seconds: (now() - before) / 1000 })
  if (echoed.sent !== echoed.received) throw new Error('the echo differs')

  const answers = await Promise.all(Array.from({ length: options.streams }, (_, number) => exchange(connection, smallMessage, number)))
  const good = answers.filter((answer) => answer.bytes === smallMessage && answer.sent === answer.received).length
  print({ step: 'streams', count: options.streams, good })
  if (good !== options.streams) throw new Error(`${good} of ${options.streams} streams answered`)
}

// A peer that is no member: whatever it tries, not a byte of any protocol comes back.
async function runRefused (node, address) {
  let identified = false
  let connected = false
  let protocols = 0
  node.addEventListener('peer:identify', () => { identified = true })
  let reason = 'none'
  try {
    const connection = await node.dial(multiaddr(address), { signal: AbortSignal.timeout(15000) })
    connected = true
    for (const protocol of ['/ipfs/id/1.0.0', '/ipfs/ping/1.0.0', '/plexus/pair/1', '/plexus/task/1', echoProtocol]) {
      const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(3000) }).catch((error) => { reason = error.name })
      if (stream != null) ++protocols
    }
  } catch (error) {
    reason = error.name
  }
  await new Promise((resolve) => setTimeout(resolve, 500))
  print({ step: 'refused', connected, open_connections: node.getConnections().length, identified, protocols, reason })
  if (identified || protocols > 0 || node.getConnections().length > 0) throw new Error('a stranger was served')
}

async function perf (connection, upload, download) {
  const stream = await connection.newStream(perfProtocol, manyStreams)
  const head = new Uint8Array(8)
  new DataView(head.buffer).setBigUint64(0, BigInt(download))
  await send(stream, head)
  const sending = sendCount(stream, upload)
  let count = 0
  await receive(stream, (bytes) => { count += bytes.byteLength })
  await sending
  if (count !== download) throw new Error(`${count} bytes came, ${download} were asked for`)
}

async function runBulk (node, address, options) {
  const connection = await node.dial(multiaddr(address))
  await perf(connection, warmUpBytes, warmUpBytes)
  print({ warm: true })
  for (const [direction, upload, download] of [['upload', options.upload, 0], ['download', 0, options.download]]) {
    if (upload + download === 0) continue
    const start = now()
    const cpu = cpuSeconds()
    await perf(connection, upload, download)
    print({ direction, bytes: upload + download, seconds: (now() - start) / 1000, cpu_seconds: cpuSeconds() - cpu })
  }
}

async function runFirstByte (node, address, count) {
  for (let number = 0; number < count; ++number) {
    const start = now()
    const connection = await node.dial(multiaddr(address))
    const stream = await connection.newStream(echoProtocol)
    await new Promise((resolve, reject) => {
      stream.addEventListener('message', resolve)
      stream.addEventListener('close', reject)
      stream.send(new Uint8Array(1))
    })
    print({ first_byte_milliseconds: now() - start })
    await connection.close()
  }
}

const { positionals: [command, address], values } = parseArgs({
  allowPositionals: true,
  options: {
    'expect-refused': { type: 'boolean' },
    pings: { type: 'string', default: '100' },
    'echo-bytes': { type: 'string', default: String(64 * 1024 * 1024) },
    streams: { type: 'string', default: '200' },
    upload: { type: 'string', default: '0' },
    download: { type: 'string', default: '0' },
    count: { type: 'string', default: '1' }
  }
})

const listens = command === 'listen' || command === 'find'
const node = await makeNode(listens ? [address ?? '/ip4/127.0.0.1/tcp/0'] : [], command === 'find' ? [mdns()] : [])
if (listens) {
  node.addEventListener('peer:discovery', ({ detail }) =>
    print({ found: detail.id.toString(), addresses: detail.multiaddrs.map((each) => each.toString()) }))
  await node.handle(echoProtocol, serveEcho, manyStreams)
  await node.handle(perfProtocol, servePerf, manyStreams)
  print({ listening: node.getMultiaddrs()[0].toString() })
  process.on('SIGTERM', () => process.exit(0))
} else {
  try {
    const numbers = { pings: Number(values.pings), echoBytes: Number(values['echo-bytes']), streams: Number(values.streams) }
    if (command === 'bulk') await runBulk(node, address, { upload: Number(values.upload), download: Number(values.download) })
    else if (command === 'first-byte') await runFirstByte(node, address, Number(values.count))
    else if (values['expect-refused']) await runRefused(node, address)
    else await runDial(node, address, numbers)
    process.exit(0)
  } catch (error) {
    print({ error: `${error.name}: ${error.message}` })
    process.exit(1)
  }
}
