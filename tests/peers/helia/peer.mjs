// A Helia 7 node as a test peer, driven over stdin. Loopback only unless told where to listen: no bootstrap, mDNS, UPnP
// or HTTP routers, and a DHT or AutoNAT only if one is asked for.
//
//   node peer.mjs [--security noise|tls] [--kad PROTOCOL] [--swarm-key HEX] [--listen MULTIADDR] [--autonat 1|2]
//                 [--transfer SECONDS] [--relay] [--dcutr] [--announce MULTIADDR] [--quic]
//
// Prints one JSON object a line: first {"event": "ready", "peerId", "addrs"}, then one per command, which is a JSON
// array on a line: ["add", PATH] | ["adddir", PATH] | ["cat", CID, OUT] | ["catdir", CID, OUT] | ["dial", MULTIADDR]
// | ["ping", PEER] | ["identified", PEER] | ["provide", CID] | ["findprovs", CID] | ["findpeer", PEER]
// | ["publish", CID] | ["resolve", NAME] | ["verified"] | ["reserve", RELAY] | ["connections"] | ["close"]. --relay: it
// is one; --dcutr: it punches holes, without reuse of ports, which node does not have; --quic: it speaks QUIC, by quinn. It ends with its standard input.
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { ipns } from '@helia/ipns'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import * as dagPb from '@ipld/dag-pb'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'
import { UnixFS } from 'ipfs-unixfs'
import { exporter } from 'ipfs-unixfs-exporter'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const DIAL_MS = 15_000
const option = name => process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined
const TRANSFER_MS = Number(option('--transfer') ?? 100) * 1000
const security = option('--security') ?? 'noise'
const kad = option('--kad')
// loopback addresses would be left out of a real network
const dht = kad ? { dht: kadDHT({ protocol: kad, clientMode: false, peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true }) } : {}
const swarmKey = option('--swarm-key')
const privately = swarmKey ? { connectionProtector: await protector(swarmKey) } : {}
const say = value => process.stdout.write(JSON.stringify(value, (_, v) => typeof v === 'bigint' ? Number(v) : v) + '\n')

const blockstore = new MemoryBlockstore()
let helia = createHeliaLight({ blockstore, datastore: new MemoryDatastore() })
helia = withLibp2pLight(helia, {
  addresses: { listen: [option('--listen') ?? '/ip4/127.0.0.1/tcp/0'], announce: option('--announce') ? [option('--announce')] : [] },
  transports: [tcp(), webSockets(), circuitRelayTransport(), ...await quicToo()],
  ...privately,
  connectionEncrypters: [security === 'tls' ? tls() : noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false }, // loopback must be dialable
  // the default resets more than five new connections a second from one host; the tests are one host
  connectionManager: { inboundConnectionThreshold: 1e6, maxIncomingPendingConnections: 1000 },
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping(), ...dht, ...await autonat(option('--autonat')), ...relaying() }
})
helia = withBitswap(helia, {})
await helia.start()
const libp2p = helia.libp2p
const files = unixfs(helia)
const names = ipns(helia)

async function quicToo () {
  return process.argv.includes('--quic') ? [(await import('@chainsafe/libp2p-quic')).quic()] : []
}

async function autonat (version) {
  if (version === '1') return { autonat: (await import('@libp2p/autonat')).autoNAT() }
  if (version === '2') return { autonat: (await import('@libp2p/autonat-v2')).autoNATv2() }
  return {}
}

function relaying () {
  return {
    ...(process.argv.includes('--relay') ? { relay: circuitRelayServer() } : {}),
    ...(process.argv.includes('--dcutr') ? { dcutr: dcutr() } : {})
  }
}

async function protector (hex) {
  const { preSharedKey } = await import('@libp2p/pnet')
  return preSharedKey({ psk: new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${hex}`) })
}

// Blocks asked of the connected peers only: without a session Helia asks its routers for every block.
function session (cid) {
  const providers = libp2p.getPeers().map(peer => peer.toCID())
  return helia.blockstore.createSession(cid, { providers, maxProviders: providers.length, minProviders: 1 })
}

function * walk (root, at = root) {
  for (const entry of fs.readdirSync(at, { withFileTypes: true })) {
    const full = path.join(at, entry.name)
    yield { entry, full, name: path.relative(root, full) }
    if (entry.isDirectory()) yield * walk(root, full)
  }
}

async function addSymlink (target) {
  const data = new UnixFS({ type: 'symlink', data: new TextEncoder().encode(target) }).marshal()
  const block = dagPb.encode(dagPb.prepare({ Data: data }))
  const cid = CID.createV1(dagPb.code, await sha256.digest(block))
  await blockstore.put(cid, block)
  return cid
}

// The directory with `cid` put at the path `parts` below it.
async function place (directory, parts, cid) {
  const [name, ...rest] = parts
  if (rest.length === 0) return files.cp(cid, directory, name)
  for await (const entry of files.ls(directory)) {
    if (entry.name === name) return files.cp(await place(entry.cid, rest, cid), directory, name, { force: true })
  }
  throw new Error(`no directory ${name}`)
}

async function saveTree (cid, target, blocks, options) {
  const entry = await exporter(cid, blocks, options)
  if (entry.unixfs?.type === 'symlink') {
    fs.symlinkSync(new TextDecoder().decode(entry.unixfs.data), target)
  } else if (entry.type === 'directory') {
    fs.mkdirSync(target)
    for await (const child of entry.entries(options)) await saveTree(child.cid, path.join(target, child.name), blocks, options)
  } else {
    await saveFile(entry.content(options), target)
  }
}

async function saveFile (content, target) {
  const file = fs.openSync(target, 'w')
  for await (const chunk of content) fs.writeSync(file, chunk)
  fs.closeSync(file)
}

const commands = {
  async add (source) {
    const cid = await files.addByteStream(fs.createReadStream(source, { highWaterMark: 1 << 20 }))
    return { cid: cid.toString() }
  },
  async adddir (root) {
    const entries = [...walk(root)]
    const candidates = entries.filter(({ entry }) => !entry.isSymbolicLink())
      .map(({ entry, full, name }) => entry.isDirectory() ? { path: name } : { path: name, content: [fs.readFileSync(full)] })
    let cid
    // like add -w: what comes last is the directory around all
    for await (const added of files.addAll(candidates, { wrapWithDirectory: true, chunker: fixedSize({ chunkSize: 262144 }) })) cid = added.cid
    for (const { entry, full, name } of entries) {
      if (entry.isSymbolicLink()) cid = await place(cid, name.split(path.sep), await addSymlink(fs.readlinkSync(full)))
    }
    return { cid: cid.toString() }
  },
  async cat (text, target) {
    const cid = CID.parse(text)
    const reader = unixfs({ blockstore: session(cid) })
    await saveFile(reader.cat(cid, { signal: AbortSignal.timeout(TRANSFER_MS) }), target)
    return {}
  },
  async catdir (text, target) {
    const cid = CID.parse(text)
    await saveTree(cid, target, session(cid), { signal: AbortSignal.timeout(TRANSFER_MS) })
    return {}
  },
  async publish (text) {
    const { publicKey } = await names.publish(`key-${text}`, CID.parse(text), { signal: AbortSignal.timeout(TRANSFER_MS) })
    return { name: publicKey.toCID().toString() }
  },
  async resolve (name) {
    let last
    for await (const found of names.resolve(CID.parse(name), { nocache: true, signal: AbortSignal.timeout(TRANSFER_MS) })) last = found
    return { value: String(last.value), sequence: last.record.sequence }
  },
  async dial (addr) {
    const connection = await libp2p.dial(multiaddr(addr), { signal: AbortSignal.timeout(DIAL_MS) })
    return { peer: connection.remotePeer.toString(), muxer: connection.multiplexer, security: connection.encryption }
  },
  async provide (text) {
    await libp2p.contentRouting.provide(CID.parse(text), { signal: AbortSignal.timeout(TRANSFER_MS) })
    return {}
  },
  async findprovs (text) {
    const providers = []
    for await (const found of libp2p.contentRouting.findProviders(CID.parse(text), { signal: AbortSignal.timeout(DIAL_MS) })) {
      providers.push({ id: found.id.toString(), addrs: found.multiaddrs.map(String) })
    }
    return { providers }
  },
  async findpeer (text) {
    const found = await libp2p.peerRouting.findPeer(peerIdFromString(text), { signal: AbortSignal.timeout(DIAL_MS), useCache: false })
    return { addrs: found.multiaddrs.map(String) }
  },
  async reserve (relay) {
    await libp2p.components.transportManager.listen([multiaddr(`${relay}/p2p-circuit`)])
    return { addrs: libp2p.getMultiaddrs().map(String).filter(addr => addr.includes('/p2p-circuit')) }
  },
  async connections () {
    return { connections: libp2p.getConnections().map(one => ({ peer: one.remotePeer.toString(), addr: one.remoteAddr.toString(), limited: one.limits != null, direction: one.direction })) }
  },
  async verified () {
    // own addresses that others have dialled, as far as this node believes them
    const own = libp2p.components.addressManager.getAddressesWithMetadata()
    return { addrs: own.filter(a => a.lastVerified > 0).map(a => a.multiaddr.toString()) }
  },
  async ping (peer) {
    return { milliseconds: await libp2p.services.ping.ping(peerIdFromString(peer)) }
  },
  async identified (peer) {
    // libp2p asks by itself after a connection, in the background: a dial may return before the answer is there
    const signal = AbortSignal.timeout(DIAL_MS)
    for (;;) {
      const known = await libp2p.peerStore.get(peerIdFromString(peer)).catch(() => null)
      const agent = known?.metadata.get('AgentVersion')
      if (agent) return { protocols: known.protocols, addrs: known.addresses.map(a => a.multiaddr.toString()), agent: new TextDecoder().decode(agent) }
      signal.throwIfAborted()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

// as bound: a public address is advertised only after others have dialled it
const bound = libp2p.components.transportManager.getAddrs()
say({ event: 'ready', peerId: libp2p.peerId.toString(), addrs: bound.map(addr => `${addr}/p2p/${libp2p.peerId}`) })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  if (name === 'close') break
  const began = performance.now()
  try {
    if (!commands[name]) throw new Error('unknown command')
    const result = await commands[name](...args)
    say({ ok: true, seconds: (performance.now() - began) / 1e3, ...result })
  } catch (error) {
    console.error(error)
    say({ ok: false, error: `${error.name}: ${error.message}` })
  }
}
process.exit(0)
