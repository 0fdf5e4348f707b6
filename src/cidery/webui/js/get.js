// Content by whatever names it: found, fetched, opened, pinned, added to the files.
import { html, Ask, Button, Trouble, gateway, open, say, short, size, useEffect, useRef, useState } from './parts.js'
import { call, stream, Failed } from './api.js'
import { T } from './texts.js'
import { Preview, Saves } from './files.js'
import { Why } from './why.js'

const STAGE_MS = 2000

/** The content path that a text means: CID, path, ipfs:// link, link of a gateway of either kind, or domain. */
export function contentPath (text) {
  const given = text.trim().replace(/^web\+/, '')
  const scheme = /^(ip[fn]s):\/*(.+)$/.exec(given)
  if (scheme && !given.startsWith('/')) return `/${scheme[1]}/${clean(scheme[2])}`
  if (/^\/?ip[fn]s\/./.test(given)) return clean(given.replace(/^\/?/, '/'))
  if (/^https?:\/\//.test(given)) {
    const url = new URL(given)
    const host = /^([^.]+(?:\.[^.]+)*)\.(ipfs|ipns)\./.exec(url.hostname)
    if (host) {
      const name = host[2] === 'ipns' && !host[1].includes('.') ? host[1].replace(/--/g, '\0').replace(/-/g, '.').replace(/\0/g, '-') : host[1]
      const isKey = /^(k51|k2k|bafz)/.test(host[1])
      return decodeURI(`/${host[2]}/${isKey ? host[1] : name}${url.pathname.replace(/\/$/, '')}`)
    }
    if (/^\/ip[fn]s\/./.test(url.pathname)) return decodeURI(url.pathname).replace(/\/$/, '')
    return `/ipns/${url.hostname}${decodeURI(url.pathname).replace(/\/$/, '')}`
  }
  if (/^(Qm[1-9A-HJ-NP-Za-km-z]{44}|baf[a-z2-7]{5,}|[bkzfuBF][0-9A-Za-z_=-]{10,})(\/.*)?$/.test(given)) return `/${/^k(51|2k)/.test(given) ? 'ipns' : 'ipfs'}/${clean(given)}`
  if (/^[\w-]+(\.[\w-]+)+(\/.*)?$/.test(given)) return `/ipns/${clean(given)}`
  throw new Failed(T.notContent)
}
const clean = text => text.replace(/[?#].*$/, '').replace(/\/+$/, '')

export default function Get ({ path }) {
  const [text, setText] = useState(path)
  const [wanted, setWanted] = useState('')
  const [error, setError] = useState(null)
  const look = given => {
    setError(null)
    setWanted('')
    try { setWanted(contentPath(given)) } catch (problem) { setError(problem) }
  }
  useEffect(() => { if (path) { setText(path); look(path) } }, [path])
  return html`<h1>${T.rooms.get}</h1>
    <form class="bar" onSubmit=${event => { event.preventDefault(); const to = `#/get/${encodeURIComponent(text.trim())}`; if (location.hash === to) look(text); else location.hash = to }}>
      <input class="grow" value=${text} onInput=${event => setText(event.target.value)} aria-label=${T.whatToGet} placeholder=${T.whatToGet}
        autocomplete="off" spellcheck="false" /><button class="main" disabled=${!text.trim()}>${T.find}</button></form>
    <${Trouble} error=${error} />
    ${wanted ? html`<${Found} path=${wanted} key=${wanted} />` : html`<p class="hint">${T.getHint}</p>`}`
}

function Found ({ path }) {
  const [stat, setStat] = useState(null)
  const [error, setError] = useState(null)
  const [stage, setStage] = useState('')
  const [progress, setProgress] = useState('')
  const [why, setWhy] = useState(false)
  const [adding, setAdding] = useState(false)
  const end = useRef(null)
  useEffect(() => {
    const stop = end.current = new AbortController()
    const name = crypto.randomUUID()
    const timer = setInterval(() => call('bitswap/session', { arg: name }).then(report => setStage(staged(report)), () => {}), STAGE_MS)
    call('files/stat', { arg: path, 'watch-as': name }, { signal: stop.signal })
      .then(setStat, problem => problem.name === 'AbortError' ? setError(new Failed(T.stopped)) : setError(problem))
      .finally(() => clearInterval(timer))
    return () => { clearInterval(timer); stop.abort() }
  }, [path])
  const fetched = async work => {
    const name = crypto.randomUUID()
    const timer = setInterval(() => call('bitswap/session', { arg: name }).then(report => setStage(staged(report)), () => {}), STAGE_MS)
    try { await work(name) } finally { clearInterval(timer); setStage(''); setProgress('') }
  }
  const pin = () => fetched(async name => {
    let last = null
    for await (const value of stream('pin/add', { arg: path, name: path.split('/').pop(), progress: true, 'watch-as': name })) {
      last = value
      if (value.Progress) setProgress(`${T.blocks(value.Progress)}${value.Bytes ? `, ${size(value.Bytes)}` : ''}`)
    }
    if (!last?.Pins?.length) throw new Failed(T.notPinned)
    say(T.pinned(short(path)))
  })
  const isFolder = stat?.Type === 'directory'
  if (error) {
    return html`<${Trouble} error=${error} /><${Why} path=${path} said=${error.message} />`
  }
  if (!stat) {
    return html`<div class="card"><p role="status">${T.searching(path)}</p><progress aria-label=${T.searching(path)}></progress>
      ${stage && html`<p class="hint">${stage}</p>`}
      <div class="bar"><button onClick=${() => end.current.abort()}>${T.stop}</button></div></div>`
  }
  const name = path.split('/').slice(3).pop() ?? ''
  return html`<div class="card">
    <p><b>${isFolder ? T.aFolder : T.aFile}</b> · ${size(stat.CumulativeSize)} · <a class="mono" href=${`#/explore/${stat.Hash}`}>${stat.Hash}</a></p>
    ${!isFolder && name && html`<${Preview} cid=${stat.Hash} name=${name} bytes=${stat.Size} />`}
    <div class="bar">
      ${gateway.get() ? html`<a class="button" href=${open(path) + (isFolder ? '/' : '')} target="_blank" rel="noreferrer">${T.openIt}</a>` : ''}
      <${Button} class="main" act=${pin}>${T.pinIt}<//>
      ${gateway.get() ? html`<${Saves} cid=${stat.Hash} name=${name || stat.Hash} folder=${isFolder} />` : ''}
      <button onClick=${() => setAdding(true)}>${T.addToFiles}</button>
      <button aria-expanded=${why} onClick=${() => setWhy(!why)}>${T.why}</button></div>
    ${(progress || stage) && html`<p class="hint" role="status">${[progress, stage].filter(Boolean).join(' · ')}</p>`}</div>
    ${adding && html`<${Ask} title=${T.addToFiles} label=${T.pathInFiles} value=${`/${name || stat.Hash}`} button=${T.addToFiles}
      onClose=${() => setAdding(false)} action=${async target => {
        await call('files/cp', { arg: [`/ipfs/${stat.Hash}`, '/' + target.replace(/^\//, '')], parents: true })
        say(T.addedToFiles(target))
      }} />`}
    ${why && html`<${Why} path=${path} />`}`
}

function staged (report) {
  const from = report.Sources.map(one => `${short(one.Peer)} (${size(one.Bytes)})`).join(', ')
  const here = report.LocalBlocks ? ` · ${T.wasHere(report.LocalBlocks)}` : ''
  return `${T.stages[report.Stage] ?? report.Stage}${from ? ` · ${T.from} ${from}` : ''}${here}`
}
