// @helia/verified-fetch over one trustless gateway, as a test peer driven over stdin: node verified_fetch.mjs GATEWAY
//
// Prints one JSON object a line: first {"event": "ready", ...}, then one per command, which is a JSON array on a line:
// ["fetch", URL, OUT, HEADERS] saves the verified body | ["json", URL] parses it | ["close"]. It ends with its standard
// input.
import fs from 'node:fs'
import readline from 'node:readline'
import { withHTTP } from '@helia/http'
import { createVerifiedFetch } from '@helia/verified-fetch'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'

const TRANSFER_MS = 100_000
const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const signal = () => AbortSignal.timeout(TRANSFER_MS)

const gateway = process.argv[2]
// Helia waits for ever when there is no other router than its fallback, so the gateway is both
const helia = withHTTP(
  createHeliaLight({
    blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore(), codecs: [dagCbor, dagJson]
  }),
  { delegatedRouters: [gateway], recursiveGateways: [gateway], allowInsecure: true, allowLocal: true }
)
await helia.start()
const verifiedFetch = await createVerifiedFetch(helia)

const answered = response => ({
  status: response.status, type: response.headers.get('content-type'), range: response.headers.get('content-range')
})

const commands = {
  async fetch (url, target, headers) {
    const response = await verifiedFetch(url, { headers: headers ?? {}, signal: signal() })
    fs.writeFileSync(target, Buffer.from(await response.arrayBuffer()))
    return answered(response)
  },
  async json (url) {
    const response = await verifiedFetch(url, { signal: signal() })
    return { ...answered(response), value: await response.json() }
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
