// js-libp2p's client for NAT-PMP as a test peer, driven over stdin: node nat_pmp.mjs GATEWAY OWN_ADDRESS
//
// Prints one JSON object a line: first {"event": "ready", "peerId", "addrs"}, then one per command, which is a JSON
// array on a line: ["outside"] | ["map", PORT, "TCP" | "UDP"] |
// ["unmap", PORT, "TCP" | "UDP"] | ["close"]. It ends with its standard input.
import readline from 'node:readline'
import { pmpNat } from '@achingbrain/nat-port-mapper'

const ANSWER_MS = 5000
const LIFETIME_SECONDS = 3600
const gateway = pmpNat(process.argv[2], { autoRefresh: false })
const local = process.argv[3]
const say = value => process.stdout.write(JSON.stringify(value) + '\n')

const commands = {
  async outside () {
    return { host: await gateway.externalIp({ signal: AbortSignal.timeout(ANSWER_MS) }) }
  },
  async map (port, protocol) {
    const mapped = await gateway.map(Number(port), local, {
      protocol, ttl: LIFETIME_SECONDS, autoRefresh: false, signal: AbortSignal.timeout(ANSWER_MS)
    })
    return { port: mapped.externalPort, host: mapped.externalHost }
  },
  async unmap (port, protocol) {
    await gateway.unmap(Number(port), { protocol, autoRefresh: false, signal: AbortSignal.timeout(ANSWER_MS) })
    return {}
  }
}

say({ event: 'ready', peerId: '', addrs: [''] })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  if (name === 'close') break
  try {
    say({ ok: true, ...await commands[name](...args) })
  } catch (error) {
    console.error(error)
    say({ ok: false, error: `${error.name}: ${error.message}` })
  }
}
process.exit(0)
