// kubo-rpc-client over one RPC, as a program written for Kubo uses it: node kubo_rpc.mjs URL
//
// Goes through a scenario and prints one JSON object: step -> what it gave, or {"error": message}.
import { create } from 'kubo-rpc-client'
import { CID } from 'multiformats/cid'

const LONG = 60_000
const rpc = create({ url: process.argv[2] })
const bytes = text => new TextEncoder().encode(text)
const results = {}

const all = async source => { const found = []; for await (const one of source) found.push(one); return found }
const text = async source => Buffer.concat(await all(source)).toString()

function plain (value) {
  if (typeof value === 'bigint') return Number(value)
  if (CID.asCID(value) != null) return CID.asCID(value).toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date || value == null || typeof value !== 'object') return value
  if (value.toString !== Object.prototype.toString && Object.keys(value).length === 0) return value.toString()
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]))
}

async function step (name, work) {
  try {
    const found = await work()
    results[name] = plain(found) ?? null
    return found
  } catch (error) {
    results[name] = { error: `${error.name}: ${error.message}` }
  }
}

const options = { timeout: LONG }
const file = await step('add', async () => (await rpc.add('hello', options)).cid)
const tree = await step('addAll', () => all(rpc.addAll([
  { path: 'tree/a', content: bytes('A') },
  { path: 'tree/sub/b', content: bytes('B'.repeat(300_000)), mode: 0o640, mtime: new Date(1_600_000_000_000) }
], options)))
const root = tree.at(-1).cid
await step('cat', () => text(rpc.cat(file, options)))
await step('cat part', () => text(rpc.cat(file, { ...options, offset: 1, length: 3 })))
await step('get', async () => Buffer.concat(await all(rpc.get(root, options))).length)
await step('ls', async () => (await all(rpc.ls(root, options))).map(({ name, type, size }) => ({ name, type, size })))
await step('id', async () => (await rpc.id(options)).agentVersion)
await step('version', async () => (await rpc.version(options)).version)
await step('pin add', () => rpc.pin.add(file, options))
await step('pin ls', async () => (await all(rpc.pin.ls({ ...options, paths: file }))).map(({ type, cid }) => ({ type, cid })))
await step('pin rm', () => rpc.pin.rm(file, options))
await step('pin ls of none', () => all(rpc.pin.ls({ ...options, paths: file })))
const block = await step('block put', () => rpc.block.put(bytes('raw'), { ...options, format: 'raw' }))
await step('block get', () => rpc.block.get(block, options))
await step('block stat', async () => (await rpc.block.stat(block, options)).size)
await step('block rm', () => all(rpc.block.rm(block, options)))
const node = await step('dag put', () => rpc.dag.put({ n: 1, to: file }, { ...options, storeCodec: 'dag-cbor' }))
await step('dag get', async () => (await rpc.dag.get(node, options)).value)
await step('dag get path', async () => (await rpc.dag.get(node, { ...options, path: '/to' })).value)
await step('dag resolve', async () => (await rpc.dag.resolve(node, options)).cid)
await step('dag export and import', async () => {
  const archive = await all(rpc.dag.export(root, options))
  return (await all(rpc.dag.import(async function * () { yield * archive }(), options))).map(one => one.root.cid)
})
await step('files mkdir', () => rpc.files.mkdir('/js/sub', { ...options, parents: true }))
await step('files write', () => rpc.files.write('/js/sub/f', bytes('data'), { ...options, create: true }))
await step('files ls', async () => (await all(rpc.files.ls('/js/sub', options))).map(one => one.name))
await step('files read', () => text(rpc.files.read('/js/sub/f', options)))
await step('files stat', async () => { const { type, size } = await rpc.files.stat('/js/sub/f', options); return { type, size } })
await step('files cp', () => rpc.files.cp('/js/sub/f', '/js/g', options))
await step('files mv', () => rpc.files.mv('/js/g', '/js/h', options))
await step('files rm', () => rpc.files.rm('/js', { ...options, recursive: true }))
await step('files rm of none', () => rpc.files.rm('/absent', options))
const key = await step('key gen', async () => (await rpc.key.gen('js', { ...options, type: 'ed25519', size: 2048 })).id)
await step('key rename', async () => (await rpc.key.rename('js', 'named', options)).now)
await step('name publish', async () => (await rpc.name.publish(file, { ...options, key: 'named', allowOffline: true })).name)
await step('name resolve', () => all(rpc.name.resolve(key, options)))
await step('key rm', async () => (await rpc.key.rm('named', options)).name)
await step('refs', async () => (await all(rpc.refs(root, { ...options, recursive: true }))).length)
await step('repo gc', async () => (await all(rpc.repo.gc(options))).length > 0)
await step('stats bw', async () => (await all(rpc.stats.bw(options))).length)
await step('swarm peers', async () => (await rpc.swarm.peers(options)).length)
await step('config get', () => rpc.config.get('Datastore.StorageMax', options))
await step('config set', () => rpc.config.set('Datastore.StorageMax', '11GB', options))
await step('diag cmds', async () => (await rpc.diag.cmds(options)).map(one => one.Command))
await step('log ls', async () => (await rpc.log.ls(options)).includes('cidery'))
// what the official page calls beside all that
await step('commands', async () => (await rpc.commands(options)).Name)
await step('resolve', () => rpc.resolve(`/ipfs/${root}/sub/b`, options))
await step('key list', async () => (await rpc.key.list(options)).map(one => one.name))
await step('config replace', async () => rpc.config.replace(await rpc.config.getAll(options), options))
await step('log level', () => rpc.log.level('cidery', 'error', options))
await step('log tail', async () => {
  const ended = AbortSignal.timeout(500)
  try { for await (const _ of rpc.log.tail({ signal: ended })) break } catch (error) { if (!ended.aborted) throw error }
  return 'open'
})
await step('provide stat', async () => Object.keys(await rpc.provide.stat(options)))
await step('routing provide', () => all(rpc.routing.provide(file, options)))
await step('swarm connect', () => rpc.swarm.connect('/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5', { timeout: 3000 }))
await step('addAll with progress', async () => {
  const told = []
  const source = [{ path: 'film.bin', content: new Uint8Array(3_000_000) }]
  await all(rpc.addAll(source, { ...options, cidVersion: 1, wrapWithDirectory: false, progress: bytes => told.push(bytes) }))
  return told.at(-1)
})
await step('pubsub ls', () => rpc.pubsub.ls(options))
const absent = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
await step('a read that ends by its timeout', () => all(rpc.cat(absent, { timeout: 300 })))
await step('a read that is aborted', () => all(rpc.cat(absent, { signal: AbortSignal.timeout(300) })))
await step('calls after that', async () => {
  for (let tries = 100; ; tries--) { // the daemon learns of it a little later
    const running = (await rpc.diag.cmds(options)).map(one => one.Command)
    if (running.length === 1 || tries === 0) return running
  }
})
process.stdout.write(JSON.stringify({ ...results, root: root.toString(), file: file.toString(), key }) + '\n')
process.exit(0)
