// What is kept, whatever a collection of garbage does.
import { html, Button, Dialog, Rows, Trouble, attempt, moment, say, usePages, usePolled, useRef, useState } from './parts.js'
import { all, call, stream, Failed } from './api.js'
import { T } from './texts.js'
import { contentPath } from './get.js'
import { Share } from './share.js'

const POLL_MS = 3000

export default function Pins () {
  const [name, setName] = useState('')
  const [adding, setAdding] = useState(false)
  const [shared, setShared] = useState(null)
  const listed = usePages(
    (after, limit) => all('pin/ls', { type: 'recursive', stream: true, names: true, name: name || undefined, limit, after: after || undefined }),
    row => row.Cid, [name])
  const [open, setOpen] = useState([]) // in the background, and not there yet
  const last = useRef(0)
  const look = async () => {
    const found = (await all('pin/status')).filter(one => one.Status !== 'pinned')
    setOpen(found)
    if (found.length < last.current) listed.again() // one has come, or was given up
    last.current = found.length
  }
  usePolled(look, POLL_MS)
  const again = () => { listed.again(); attempt(look) }
  const remove = pin => async () => {
    await call('pin/rm', { arg: pin.Cid })
    again()
    say(T.unpinned(pin.Name || pin.Cid), () => call('pin/add', { arg: pin.Cid, name: pin.Name || undefined }).then(again, error => say(error.message, null, true)))
  }
  const row = pin => html`<button class="name" onClick=${() => setShared(pin)}>${pin.Name || html`<span class="mono">${pin.Cid}</span>`}</button>
    <span class="sub">${pin.Expires ? T.expires(moment(pin.Expires)) : pin.Name ? html`<span class="mono">${pin.Cid}</span>` : ''}</span>
    <${Button} class="plain" aria-label=${T.unpinOf(pin.Name || pin.Cid)} act=${remove(pin)}>${T.unpin}<//>`
  return html`<h1>${T.rooms.pins}</h1>
    <div class="bar"><button class="main" onClick=${() => setAdding(true)}>${T.addPin}</button>
      <input type="search" class="grow" placeholder=${T.searchPins} aria-label=${T.searchPins} value=${name} onInput=${event => setName(event.target.value)} /></div>
    <${Trouble} error=${listed.error} />
    ${open.map(one => html`<div class="notice"><div class="bar"><span class="grow"><b>${one.Name || one.Cid}</b><br />
      <span class="hint">${T.pinStates[one.Status]}${one.Error ? `: ${one.Error}` : ''}${one.NextTry ? ` · ${T.nextTry(moment(one.NextTry))}` : ''}</span></span>
      ${one.Status !== 'pinning' && html`<${Button} act=${async () => { await all('jobs/resume', { arg: String(one.Job) }); again() }}>${T.again}<//>`}
      <${Button} act=${async () => { await call('jobs/rm', { arg: String(one.Job) }); again() }}>${T.cancel}<//></div></div>`)}
    ${!listed.first && !listed.items.length && !listed.error && html`<div class="empty"><h2>${name ? T.noSuchPin : T.noPins}</h2><p>${T.pinsHint}</p></div>`}
    ${listed.items.length > 0 && html`<${Rows} items=${listed.items} row=${row} more=${listed.done ? null : listed.more} label=${T.rooms.pins} />
      <p class="hint" role="status">${listed.done ? T.count(listed.items.length) : T.countSoFar(listed.items.length)}</p>`}
    ${adding && html`<${Add} again=${again} onClose=${() => setAdding(false)} />`}
    ${shared && html`<${Share} cid=${shared.Cid} name=${shared.Name || shared.Cid} folder=${true} onClose=${() => { setShared(null); again() }} />`}`
}

function Add ({ again, onClose }) {
  const [what, setWhat] = useState('')
  const [name, setName] = useState('')
  const [days, setDays] = useState('')
  const [error, setError] = useState(null)
  const add = async event => {
    event.preventDefault()
    try {
      const life = days.trim()
      if (life && !/^\d+$/.test(life)) throw new Failed(T.daysAreNumbers)
      for await (const _ of stream('pin/add', { arg: contentPath(what), name: name || undefined, background: true, 'expire-in': life ? `${life}d` : undefined })) continue
      say(T.queued)
      again()
      onClose()
    } catch (problem) { setError(problem) }
  }
  return html`<${Dialog} title=${T.addPin} onClose=${onClose}><form onSubmit=${add}>
    <div class="field"><label for="pin-what">${T.whatToGet}</label><input id="pin-what" value=${what} onInput=${event => setWhat(event.target.value)} autocomplete="off" /></div>
    <div class="field"><label for="pin-name">${T.nameOptional}</label><input id="pin-name" value=${name} onInput=${event => setName(event.target.value)} /></div>
    <div class="field"><label for="pin-days">${T.daysOptional}</label><input id="pin-days" inputmode="numeric" value=${days} onInput=${event => setDays(event.target.value)} /></div>
    <${Trouble} error=${error} /><p class="hint">${T.pinBackground}</p><button class="main" disabled=${!what.trim()}>${T.pin}</button></form><//>`
}
