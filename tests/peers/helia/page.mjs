// Helia in a page: window.helia.fetchFile(multiaddr, cid) -> {bytes, sha256, seconds, security}. Bundled by esbuild;
// WebSockets only, no routers, and nothing is dialled that the test does not name.
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
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

async function start () {
  let helia = createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() })
  helia = withLibp2pLight(helia, {
    addresses: { listen: [] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }, // a page may not dial loopback by default
    services: { identify: identify(), ping: ping() }
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
  const hex = Array.from(digest.digest(), byte => byte.toString(16).padStart(2, '0')).join('')
  await helia.stop()
  return { bytes, sha256: hex, seconds, connectSeconds: (connected - began) / 1e3, security: connection.encryption }
}

window.helia = { fetchFile }
