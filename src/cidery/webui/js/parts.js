// What all rooms are made of.
import { html, useEffect, useRef, useState, useCallback } from '../vendor/htm-preact.js'
import { T } from './texts.js'

export { html, useEffect, useRef, useState, useCallback }

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
export function size (bytes) {
  let at = 0
  while (bytes >= 1000 && at < UNITS.length - 1) { bytes /= 1000; at++ }
  return `${at && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[at]}`
}
export const number = value => value.toLocaleString('en')
export const moment = text => new Date(text).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })
export function span (seconds) {
  if (!isFinite(seconds)) return ''
  if (seconds < 60) return T.seconds(Math.max(1, Math.round(seconds)))
  return seconds < 5400 ? T.minutes(Math.round(seconds / 60)) : T.hours(Math.round(seconds / 3600))
}
export const short = text => text.length > 24 ? `${text.slice(0, 10)}…${text.slice(-8)}` : text

export const sentence = text => text ? text[0].toUpperCase() + text.slice(1) : ''
/** What the node says behind the subject that the page shows already, as `stored here: whole`. */
export const told = text => sentence(text.replace(/^[a-z ]+: /, ''))
/** The lines of a verdict of `why`; its arrow and stage are for terminals. */
export const verdictLines = text => text.split('\n').map(line => sentence(line.trim().replace(/^-> /, '').replace(/^[a-z -]+: (?=[A-Z])/, '').replace(/^\* /, '• '))).filter(Boolean)

/** Whether what is dragged are files, no text of the page. */
export const ofFiles = event => event.dataTransfer?.types.includes('Files')

/** A value that several parts of the page show. */
export function store (value) {
  const listeners = new Set()
  return {
    get: () => value,
    set (next) { value = next; for (const one of listeners) one(next) },
    use () {
      const [seen, see] = useState(value)
      useEffect(() => { see(value); listeners.add(see); return () => listeners.delete(see) }, [])
      return seen
    }
  }
}

/** What `load` gives, {value, error, again}; loaded anew when `keys` change. */
export function useLoaded (load, keys) {
  const [state, setState] = useState({})
  const [count, setCount] = useState(0)
  useEffect(() => {
    const end = new AbortController()
    load(end.signal).then(
      value => end.signal.aborted || setState({ value }),
      error => end.signal.aborted || setState(before => ({ value: before.value, error })))
    return () => end.abort()
  }, [...keys, count])
  return { ...state, again: () => setCount(before => before + 1) }
}

/** Calls `ask` now and every `ms`, while somebody looks. */
export function usePolled (ask, ms, keys = []) {
  useEffect(() => {
    let timer
    let ended = false
    const turn = async () => {
      if (!document.hidden) await ask().catch(() => {})
      if (!ended) timer = setTimeout(turn, ms)
    }
    turn()
    return () => { ended = true; clearTimeout(timer) }
  }, keys)
}

export const toast = store(null)
let toasting
/** A sentence that goes by itself; with `undo` a button. */
export function say (text, undo, failed = false) {
  clearTimeout(toasting)
  toast.set({ text, undo, failed })
  toasting = setTimeout(() => toast.set(null), undo ? 12000 : failed ? 9000 : 5000)
}
/** Runs what a button does, and says what went wrong. */
export async function attempt (action) {
  try { return await action() } catch (error) { if (error.name !== 'AbortError') say(error.message, null, true) }
}

export function Toast () {
  const shown = toast.use()
  return html`<div class="toast" role="status" aria-live="polite">${shown && html`
    <div class="card"><div class="top"><span class=${shown.failed ? 'error' : ''}>${shown.text}</span>
      ${shown.undo && html`<button onClick=${() => { toast.set(null); shown.undo() }}>${T.undo}</button>`}
      <button class="plain icon" aria-label=${T.close} onClick=${() => toast.set(null)}>✕</button></div></div>`}</div>`
}

export function Button ({ act, children, ...rest }) {
  const [busy, setBusy] = useState(false)
  const alive = useRef(true)
  useEffect(() => () => { alive.current = false }, [])
  const run = async event => {
    event.preventDefault()
    setBusy(true)
    await attempt(act)
    if (alive.current) setBusy(false)
  }
  return html`<button type="button" disabled=${busy} aria-busy=${busy} onClick=${run} ...${rest}>${children}</button>`
}

export function Trouble ({ error }) {
  return error ? html`<p class="error" role="alert">${error.message}</p>` : null
}

export function Dialog ({ title, onClose, children }) {
  const box = useRef(null)
  useEffect(() => { if (!box.current.open) box.current.showModal() }, [])
  return html`<dialog ref=${box} aria-label=${title} onClose=${onClose}
      onClick=${event => event.target === box.current && box.current.close()}>
    <div class="inside"><header><h2>${title}</h2>
      <button class="plain icon" aria-label=${T.close} onClick=${() => box.current.close()}>✕</button></header>
      ${children}<${Toast} /></div></dialog>`
}

/** Asks for one line. `action(text)` ends the dialog unless it throws. */
export function Ask ({ title, label, value = '', button, action, onClose }) {
  const [text, setText] = useState(value)
  const [error, setError] = useState(null)
  const submit = async event => {
    event.preventDefault()
    try { await action(text.trim()); onClose() } catch (problem) { setError(problem) }
  }
  return html`<${Dialog} title=${title} onClose=${onClose}><form onSubmit=${submit}>
    <div class="field"><label for="ask">${label}</label>
      <input id="ask" value=${text} onInput=${event => setText(event.target.value)} autocomplete="off" /></div>
    <${Trouble} error=${error} />
    <button class="main" disabled=${!text.trim()}>${button}</button></form><//>`
}

export function Copy ({ text, label }) {
  const [done, setDone] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    setDone(true)
    setTimeout(() => setDone(false), 2000)
  }
  return html`<div class="copy"><input readonly value=${text} aria-label=${label} onFocus=${event => event.target.select()} />
    <${Button} act=${copy}>${done ? T.copied : T.copy}<//></div>`
}

const ROW = 48
const BEYOND = 8
const TALLEST = 4_000_000 // pixels: browsers cut elements off at 17 to 33 million
/**
 * A window over many rows: only those in view are in the page. `more` is called near the end. Of lists taller than a browser
 * can scroll, the bar stands for the whole, while small steps move by as much as they say.
 */
export function Rows ({ items, row, more, label }) {
  const box = useRef(null)
  const [height, setHeight] = useState(600)
  const [at, setAt] = useState({ top: 0, from: 0 }) // where the box is scrolled to, and what is shown there, in pixels
  useEffect(() => {
    const seen = new ResizeObserver(() => setHeight(box.current?.clientHeight || 600))
    seen.observe(box.current)
    return () => seen.disconnect()
  }, [])
  const whole = items.length * ROW
  const tall = Math.min(whole, TALLEST)
  const scrolled = ({ target: { scrollTop: top } }) => setAt(before => {
    if (tall === whole) return { top, from: top }
    const end = tall - height
    const near = Math.abs(top - before.top) <= height && top > 0 && top < end
    const from = near ? before.from + top - before.top : top / end * (whole - height)
    return { top, from: Math.max(0, Math.min(from, whole - height)) }
  })
  const first = Math.max(0, Math.floor(at.from / ROW) - BEYOND)
  const last = Math.min(items.length, Math.ceil((at.from + height) / ROW) + BEYOND)
  useEffect(() => { if (more && last >= items.length - BEYOND * 4) more() }, [last, items.length, more])
  return html`<div class="rows" ref=${box} onScroll=${scrolled} tabindex="0"
      role="group" aria-label=${label}>
    <div class="window" role="list" style=${{ height: `${tall}px` }}>
      ${items.slice(first, last).map((item, index) => html`<div class="row" role="listitem" key=${first + index}
        aria-setsize=${items.length} aria-posinset=${first + index + 1}
        style=${{ top: `${(first + index) * ROW - at.from + at.top}px` }}>${row(item)}</div>`)}
    </div></div>`
}

/** Pages of a long list. `page(after, limit)` gives rows; `name(row)` is what the next page goes on behind. */
export function usePages (page, name, keys) {
  const [state, setState] = useState({ items: [], done: false, first: true })
  const run = useRef({})
  const [count, setCount] = useState(0)
  const more = useCallback(async () => {
    const mine = run.current
    if (mine.busy || mine.done) return
    mine.busy = true
    try {
      const limit = mine.items.length ? 5000 : 1000
      const rows = await page(mine.items.length ? name(mine.items[mine.items.length - 1]) : '', limit)
      if (mine !== run.current) return
      for (const one of rows) mine.items.push(one)
      mine.done = rows.length < limit
      mine.busy = false
      setState({ items: mine.items, done: mine.done, first: false, length: mine.items.length })
    } catch (error) {
      if (mine !== run.current) return
      mine.done = true
      setState({ items: mine.items, done: true, first: false, error })
    }
  }, [...keys, count])
  useEffect(() => {
    run.current = { items: [], busy: false, done: false }
    more()
  }, [more])
  return { ...state, more, again: () => setCount(before => before + 1) }
}

const PATHS = {
  files: 'M3 6h6l2 2h10v11H3z', get: 'M12 3v12m-5-5 5 5 5-5M4 20h16', status: 'M3 12h4l3-8 4 16 3-8h4',
  pins: 'M9 3h6l-1 7 4 4H6l4-4zM12 14v7', peers: 'M12 5v6m0 0-6 6m6-6 6 6M12 4a1 1 0 1 0 0 .1M6 18a1 1 0 1 0 0 .1M18 18a1 1 0 1 0 0 .1',
  explore: 'M6 4h5v5H6zM13 15h5v5h-5zM8.500 9v8.500H13', settings: 'M4 7h10m4 0h2M4 17h2m4 0h10M14 5v4M8 15v4', names: 'M3 12V4h8l9 9-8 8zM7.500 8a.5.500 0 1 0 0 .1',
  jobs: 'M5 5h14v14H5zM8 12l3 3 5-6', folder: 'M3 6h6l2 2h10v11H3z', file: 'M6 3h8l4 4v14H6zM14 3v4h4', more: 'M5 12h.1M12 12h.1M19 12h.1'
}
export function Icon ({ name, kind = '' }) {
  return html`<svg class=${kind} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
    stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`
}

/** Where the gateway of this node serves a path: there each content has an origin of its own, never this page's. */
export const gateway = store('')
export function open (path) { return `${gateway.get()}${path.split('/').map(encodeURIComponent).join('/')}` }
