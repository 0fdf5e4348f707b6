// Who is connected, what goes over the lines, how it stands with the DHT, and what all of this may cost.
import { html, Ask, Button, Trouble, number, say, sentence, size, usePolled, useRef, useState } from './parts.js'
import { all, call } from './api.js'
import { T } from './texts.js'

const POLL_MS = 3000
const POINTS = 100 // five minutes of bandwidth
const DAY_MS = 60_000
const DHT_MS = 15_000
const DAY_SECONDS = 86400

export default function Peers ({ status }) {
  const [peers, setPeers] = useState(null)
  const [rates, setRates] = useState([])
  const [total, setTotal] = useState(null)
  const [error, setError] = useState(null)
  const [asking, setAsking] = useState(false)
  const list = useRef([])
  const look = async () => {
    try {
      const [found, traffic] = await Promise.all([call('swarm/peers', { latency: true, direction: true, identify: true, traffic: true }), call('stats/bw')])
      list.current = [...list.current, traffic].slice(-POINTS)
      setPeers(found.Peers ?? [])
      setRates(list.current)
      setTotal(traffic)
      setError(null)
    } catch (problem) { setError(problem) }
  }
  usePolled(look, POLL_MS)
  const [day, setDay] = useState(null)
  usePolled(async () => setDay(await call('stats/day')), DAY_MS)
  return html`<h1>${T.rooms.peers}</h1><${Trouble} error=${error} />
    ${total && html`<div class="tiles">
      <div class="tile"><b>${size(total.RateIn)}/s</b><span>${T.incoming}</span></div><div class="tile"><b>${size(total.RateOut)}/s</b><span>${T.outgoing}</span></div>
      <div class="tile"><b>${size(total.TotalIn)}</b><span>${T.totalIn}</span></div><div class="tile"><b>${size(total.TotalOut)}</b><span>${T.totalOut}</span></div></div>
      ${rates.length > 1 && html`<div class="card"><${Spark} rates=${rates} /><p class="hint">${T.sparkHint}</p></div>`}
      ${day?.Spells.length > 0 && html`<div class="card"><${Day} day=${day} /><p class="hint">${T.dayHint(size(sum(day, 'In')), size(sum(day, 'Out')), day.Every / 60, size(longest(day)))}</p></div>`}`}
    <div class="bar spaced"><h2 class="grow">${peers ? T.peers(peers.length) : ''}</h2><button onClick=${() => setAsking(true)}>${T.connectTo}</button></div>
    ${peers && html`<p class="hint">${peers.length ? byTransport(peers) : T.noPeers}</p>`}
    ${peers && peers.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label=${T.rooms.peers}><table><thead><tr><th>${T.peer}</th><th>${T.address}</th><th>${T.software}</th><th class="num">${T.roundTrip}</th><th class="num">${T.cameIn}</th><th class="num">${T.wentOut}</th><th>${T.direction}</th><th></th></tr></thead><tbody>
      ${peers.map(one => html`<tr key=${one.Peer + one.Addr}><td class="mono whole" title=${one.Peer}>…${one.Peer.slice(-10)}</td><td class="mono">${one.Addr}</td><td>${one.Identify?.AgentVersion ?? ''}</td>
        <td class="num">${one.Latency && one.Latency !== 'n/a' ? one.Latency : '–'}</td><td class="num">${size(one.TotalIn)}</td><td class="num">${size(one.TotalOut)}</td><td>${one.Direction === 'inbound' || one.Direction === 1 ? T.inbound : T.outbound}</td>
        <td><${Button} class="plain" aria-label=${T.disconnectOf(one.Peer)} act=${async () => { await call('swarm/disconnect', { arg: `${one.Addr}/p2p/${one.Peer}` }); await look() }}>${T.disconnect}<//></td></tr>`)}
    </tbody></table></div>`}
    <${Dht} />
    ${status && html`<${Budgets} budgets=${status.Budgets} />`}
    ${asking && html`<${Ask} title=${T.connectTo} label=${T.addressHint} button=${T.connect} onClose=${() => setAsking(false)}
      action=${async address => { await call('swarm/connect', { arg: address, timeout: '60s' }); say(T.connected); look() }} />`}`
}

/** How many are connected by which transport; what is said of a relay is the relay's. */
function byTransport (peers) {
  const counts = new Map()
  for (const { Addr } of peers) {
    const name = /\/p2p-circuit/.test(Addr) ? 'relay' : /\/quic/.test(Addr) ? 'quic' : /\/wss?(\/|$)/.test(Addr) ? 'ws' : 'tcp'
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${number(count)} ${T.transports[name]}`).join(', ')
}

/** The tables of the DHT, or why there are none. */
function Dht () {
  const [tables, setTables] = useState(null)
  const [error, setError] = useState(null)
  usePolled(async () => {
    try { setTables(await all('stats/dht')); setError(null) } catch (problem) { setError(problem) }
  }, DHT_MS)
  return html`<h2>${T.dht}</h2><p class="hint">${T.dhtHint}</p>
    ${error && html`<p role="status">${sentence(error.message)}</p>`}
    ${tables && !error && html`<div class="scroll" tabindex="0" role="group" aria-label=${T.dht}><table><thead><tr><th>${T.network}</th><th>${T.role}</th><th class="num">${T.known}</th><th class="num">${T.estimated}</th></tr></thead><tbody>
      ${tables.map(one => html`<tr key=${one.Name}><td>${T.networks[one.Name] ?? one.Name}</td><td>${T.roles[one.Mode] ?? one.Mode}</td>
        <td class="num">${number(one.Buckets.reduce((total, bucket) => total + bucket.Peers.length, 0))}</td>
        <td class="num">${one.NetworkSize ? number(one.NetworkSize) : '–'}</td></tr>`)}</tbody></table></div>`}`
}

/** What peers and programs use of what they may. */
function Budgets ({ budgets }) {
  return html`<h2>${T.budgets}</h2><p class="hint">${T.budgetsHint}</p>
    <div class="scroll" tabindex="0" role="group" aria-label=${T.budgets}><table><thead><tr><th>${T.budget}</th><th class="num">${T.used}</th><th class="num">${T.most}</th></tr></thead><tbody>
      ${budgets.map(one => html`<tr><td>${one.Name}</td><td class="num">${amount(one.Used, one.Unit)}</td><td class="num">${one.Limit === null ? T.noLimit : amount(one.Limit, one.Unit)}</td></tr>`)}
    </tbody></table></div>`
}
const amount = (value, unit) => unit.startsWith('bytes') ? size(value) + (unit.includes('second') ? '/s' : '') : number(Math.round(value))

const longest = day => Math.max(1, ...day.Spells.flatMap(one => [one.In, one.Out]))
const sum = (day, key) => day.Spells.reduce((total, one) => total + one[key], 0)

/** A bar for each spell of five minutes: what came in upwards, what went out downwards. */
function Day ({ day }) {
  const count = DAY_SECONDS / day.Every
  const end = Math.floor(Date.now() / 1000 / day.Every)
  const most = longest(day)
  const bars = (key, up) => day.Spells.map(one => {
    const at = count - 1 - (end - one.Began / day.Every)
    const height = one[key] && Math.max(0.5, 30 * one[key] / most)
    return at < 0 || at >= count ? '' : `M${at} ${up ? 31 - height : 31}h.9v${height}h-.9z`
  }).join('')
  return html`<svg class="day" viewBox=${`0 0 ${count} 62`} preserveAspectRatio="none" role="img" aria-label=${T.day(size(most), day.Every / 60)}>
    <path class="axis" d=${`M0 31H${count}`} /><path class="in" d=${bars('In', true)} /><path class="out" d=${bars('Out', false)} /></svg>`
}

function Spark ({ rates }) {
  const most = Math.max(1, ...rates.flatMap(one => [one.RateIn, one.RateOut]))
  const line = key => rates.map((one, at) => `${at},${60 - 58 * one[key] / most}`).join(' ')
  return html`<svg class="spark" viewBox=${`0 0 ${POINTS - 1} 62`} preserveAspectRatio="none" role="img" aria-label=${T.spark(size(most))}>
    <polyline points=${line('RateIn')} /><polyline class="out" points=${line('RateOut')} /></svg>`
}
