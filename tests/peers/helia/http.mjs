// Helia 7 without libp2p, over HTTP only, as a test peer driven over stdin: a trustless gateway and a delegated router.
//
//   node http.mjs --gateway URL --router URL
//
// Prints one JSON object a line: first {"event": "ready", ...}, then one per command, which is a JSON array on a line:
// ["cat", CID, OUT] | ["findprovs", CID] | ["findpeer", PEER] | ["publish", CID] | ["resolve", NAME]
// | ["close"]. It ends with its standard input.
import fs from 'node:fs'
import readline from 'node:readline'
import { delegatedRoutingV1HttpApiClient } from '@helia/delegated-routing-v1-http-api-client'
import { withHTTP } from '@helia/http'
import { ipns } from '@helia/ipns'
import { unixfs } from '@helia/unixfs'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromCID, peerIdFromString } from '@libp2p/peer-id'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

const TRANSFER_MS = 100_000
const option = name => process.argv[process.argv.indexOf(name) + 1]
const say = value => process.stdout.write(JSON.stringify(value, (_, v) => typeof v === 'bigint' ? Number(v) : v) + '\n')
const signal = () => AbortSignal.timeout(TRANSFER_MS)

let helia = createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() })
helia = withHTTP(helia, {
  delegatedRouters: [option('--router')],
  recursiveGateways: [option('--gateway')],
  allowInsecure: true,
  allowLocal: true
})
await helia.start()
const routing = delegatedRoutingV1HttpApiClient({ url: option('--router') })({ logger: defaultLogger() })
await routing.start()
const names = ipns(helia)

const peer = found => ({ id: peerIdFromCID(found.ID).toString(), addrs: found.Addrs.map(String) })

const commands = {
  async cat (text, target) {
    const file = fs.openSync(target, 'w')
    for await (const chunk of unixfs(helia).cat(CID.parse(text), { signal: signal() })) fs.writeSync(file, chunk)
    fs.closeSync(file)
    return {}
  },
  async findprovs (text) {
    const providers = []
    for await (const found of routing.getProviders(CID.parse(text), { signal: signal() })) providers.push(peer(found))
    return { providers }
  },
  async findpeer (text) {
    for await (const found of routing.getPeers(peerIdFromString(text).toCID(), { signal: signal() })) return peer(found)
    return { addrs: [] }
  },
  async resolve (name) {
    let last
    for await (const found of names.resolve(CID.parse(name), { nocache: true, signal: signal() })) last = found
    return { value: String(last.value), sequence: last.record.sequence }
  },
  async publish (text) {
    const { publicKey } = await names.publish(`key-${text}`, CID.parse(text), { signal: signal() })
    return { name: publicKey.toCID().toString() }
  }
}

say({ event: 'ready', peerId: '', addrs: [''] })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  if (name === 'close') break
  try {
    if (!commands[name]) throw new Error('unknown command')
    say({ ok: true, ...await commands[name](...args) })
  } catch (error) {
    console.error(error)
    say({ ok: false, error: `${error.name}: ${error.message}` })
  }
}
process.exit(0)
