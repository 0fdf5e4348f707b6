// Helia in a page. Bundled by esbuild; WebSockets and relays only, no routers, and nothing is dialled that the test does
// not name. window.helia:
//   fetchFile(multiaddr, cid) -> {bytes, sha256, seconds, security}
//   begin() -> peer id, of a node that stays; reserve(relay) -> its addresses through that relay
//   addRandom(bytes) -> {cid, sha256}; connections() -> [{peer, addr, limited}]
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { sha256 } from '@noble/hashes/sha2.js'

const FETCH_MS = 100_000

const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')

async function start () {
  let helia = createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() })
  helia = withLibp2pLight(helia, {
    addresses: { listen: [] },
    transports: [webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }, // a page may not dial loopback by default
    services: { identify: identify(), ping: ping(), dcutr: dcutr() }
  })
  helia = withBitswap(helia, {})
  await helia.start()
  return helia
}

async function fetchFile (addr, text) {
  const helia = await start()
  const began = performance.now()
  const connection = await helia.libp2p.dial(multiaddr(addr))
  const connected = performance.now()
  const cid = CID.parse(text)
  const blocks = helia.blockstore.createSession(cid, { providers: [connection.remotePeer.toCID()], maxProviders: 1, minProviders: 1 })
  const digest = sha256.create()
  let bytes = 0
  for await (const chunk of unixfs({ blockstore: blocks }).cat(cid, { signal: AbortSignal.timeout(FETCH_MS) })) {
    digest.update(chunk)
    bytes += chunk.byteLength
  }
  const seconds = (performance.now() - connected) / 1e3
  await helia.stop()
  return { bytes, sha256: hex(digest.digest()), seconds, connectSeconds: (connected - began) / 1e3, security: connection.encryption }
}

let node

async function begin () {
  node = await start()
  return node.libp2p.peerId.toString()
}

async function reserve (relay) {
  await node.libp2p.components.transportManager.listen([multiaddr(`${relay}/p2p-circuit`)])
  return node.libp2p.getMultiaddrs().map(String)
}

async function addRandom (bytes) {
  const data = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536))
  const cid = await unixfs(node).addBytes(data)
  return { cid: cid.toString(), sha256: hex(sha256(data)) }
}

function connections () {
  return node.libp2p.getConnections().map(one => ({ peer: one.remotePeer.toString(), addr: one.remoteAddr.toString(), limited: one.limits != null }))
}

window.helia = { fetchFile, begin, reserve, addRandom, connections }
