// A link to content, and whether others can open it now.
import { html, Button, Copy, Dialog, Trouble, gateway, open, say, told, useEffect, useLoaded, useState, verdictLines } from './parts.js'
import { all, call, stream } from './api.js'
import { T } from './texts.js'
import encodeQR from '../vendor/qr.js'

const LOOK = '10s'
const AGAIN_MS = 5000 // while it waits to be announced
const BORDER = 1

export const publicLink = (cid, name, folder) => `https://dweb.link/ipfs/${cid}${folder || !name ? '' : `?filename=${encodeURIComponent(name)}`}`

function QR ({ text }) {
  const rows = encodeQR(text, 'raw', { border: BORDER })
  let path = ''
  rows.forEach((row, y) => row.forEach((dark, x) => { if (dark) path += `M${x} ${y}h1v1h-1z` }))
  return html`<svg class="qr" viewBox=${`0 0 ${rows.length} ${rows.length}`} role="img" aria-label=${T.qr} shape-rendering="crispEdges"><path d=${path} /></svg>`
}

export function Share ({ cid, name, folder, onClose }) {
  const [pin, setPin] = useState(null) // whether a pin of it, or of what it is in, keeps it; null: not known yet
  const [round, setRound] = useState(0)
  const keep = async () => {
    await call('pin/add', { arg: cid, name })
    say(T.pinned(name))
    setPin(true)
    setRound(round + 1)
  }
  const link = publicLink(cid, name, folder)
  return html`<${Dialog} title=${T.shareOf(name)} onClose=${onClose}>
    ${pin === false && html`<div class="notice"><p>${T.shareNeedsPin}</p>
      <${Button} class="main" act=${keep}>${T.pinAndAnnounce}<//></div>`}
    <div class="share"><${QR} text=${link} /><div>
      <label>${T.linkForAll}</label><${Copy} text=${link} label=${T.linkForAll} />
      <p></p><label>${T.linkForIpfs}</label><${Copy} text=${`ipfs://${cid}`} label=${T.linkForIpfs} />
      ${gateway.get() && html`<p></p><a id="open-here" href=${open(`/ipfs/${cid}`) + (folder ? '/' : `?filename=${encodeURIComponent(name)}`)} target="_blank" rel="noreferrer">${T.openHere}</a>`}
    </div></div>
    <${KeepAt} cid=${cid} name=${name} />
    <h2>${T.canOthers}</h2><${Reach} cid=${cid} key=${round} onPinned=${setPin} /><//>`
}

/** The pinning services that the config names: each may keep it, too, when this computer is off. */
function KeepAt ({ cid, name }) {
  const { value: services } = useLoaded(async () => (await call('pin/remote/service/ls')).RemoteServices, [])
  return services?.length > 0 && html`<h2>${T.keepAt}</h2>
    ${services.map(({ Service: service }) => html`<${Keeper} key=${service} service=${service} cid=${cid} name=${name} />`)}`
}

const STATES = 'queued,pinning,pinned,failed'
function Keeper ({ service, cid, name }) {
  const { value: pins, error, again } = useLoaded(
    () => all('pin/remote/ls', { service, cid, status: STATES, timeout: LOOK }), [service, cid])
  const state = pins?.[0]?.Status
  const underWay = state === 'queued' || state === 'pinning'
  useEffect(() => {
    const later = underWay && setTimeout(again, AGAIN_MS)
    return () => clearTimeout(later)
  }, [pins])
  const keep = async () => { await call('pin/remote/add', { arg: cid, service, name, background: true }); again() }
  const leave = async () => { await call('pin/remote/rm', { service, cid, status: STATES, force: true }); again() }
  return html`<div class="bar"><span class="grow"><b>${service}</b> <span class="hint" role="status">${error ? '' : T.keptAt[pins ? state ?? 'none' : 'looking']}</span></span>
    ${pins && (!state || state === 'failed') && html`<${Button} aria-label=${T.keepAtOf(service)} act=${keep}>${T.keep}<//>`}
    ${state && html`<${Button} aria-label=${T.leaveOf(service)} act=${leave}>${T.leave}<//>`}</div><${Trouble} error=${error} />`
}

/** The facts of `why` about one CID, for the person who shares it. */
function Reach ({ cid, onPinned }) {
  const [facts, setFacts] = useState({})
  const [error, setError] = useState(null)
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const end = new AbortController()
    let later
    const read = async () => {
      let waits = false
      for await (const one of stream('why', { arg: cid, timeout: LOOK }, { signal: end.signal })) {
        if (['Stored', 'Announcement', 'Standing', 'Verdict'].includes(one.Type)) setFacts(before => ({ ...before, [one.Type]: one }))
        if (one.Type === 'Pinned') onPinned(one.Details.Holds.some(hold => hold.Kind !== 'files'))
        if (one.Type === 'Announcement') waits = one.Details.Waiting
      }
      if (waits) later = setTimeout(() => setTurn(turn + 1), AGAIN_MS)
    }
    read().catch(problem => problem.name === 'AbortError' || setError(problem))
    return () => { clearTimeout(later); end.abort() }
  }, [cid, turn])
  const { Stored, Announcement, Standing, Verdict } = facts
  return html`<ul class="checks">
    ${check(T.stored, Stored, Stored && (Stored.Details.Root && !Stored.Details.MissingCount && Stored.Details.Complete ? 'yes' : 'no'))}
    ${check(T.announced, Announcement, Announcement && (Announcement.Details.Off ? 'no' : Announcement.Details.At ? 'yes' : Announcement.Details.Waiting ? 'maybe' : 'no'))}
    ${check(T.reachable, Standing, Standing && (Standing.Details.Relayed ? 'maybe' : { reachable: 'yes', unreachable: 'no', local: 'no' }[Standing.Details.Reach] ?? 'maybe'))}
  </ul><${Trouble} error=${error} />
  ${Verdict ? html`<div class="card" role="status">${verdictLines(Verdict.Text).map(line => html`<p>${line}</p>`)}</div>` : html`<p class="hint" role="status">${T.looking}</p>`}`
}

const MARKS = { yes: '✓', no: '✕', maybe: '?' }
function check (title, fact, verdict) {
  return html`<li><span class=${`mark ${verdict ?? ''}`} role="img" aria-label=${T.marks[verdict ?? 'none']}>${MARKS[verdict] ?? '…'}</span>
    <span><b>${title}</b>${fact ? html`<br /><span class="hint">${told(fact.Text)}</span>` : ''}</span></li>`
}
