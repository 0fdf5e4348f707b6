// The mutable files: a folder as a list, and what can be done with each entry.
import { html, Ask, Button, Dialog, Icon, Rows, Trouble, attempt, gateway, number, ofFiles, open, say, size, useEffect, useLoaded, usePages, useRef, useState } from './parts.js'
import { all, bytes, call, Failed } from './api.js'
import { T } from './texts.js'
import { Share } from './share.js'
import { dropped, picked, send, uploads } from './upload.js'

const FOLDER = 1
const SORTED = 1000 // a folder that comes in one page is sorted by name
const PREVIEW_BYTES = 64 * 1024

export const join = (folder, name) => `${folder.replace(/\/$/, '')}/${name}`
const hash = path => '#/files' + path.split('/').map(encodeURIComponent).join('/')
const order = new Intl.Collator('en', { numeric: true })

export function Files ({ path, ask }) {
  const folder = '/' + path.replace(/\/+$/, '')
  const listed = usePages(
    async (after, limit) => (await call('files/ls', { arg: folder, long: true, limit, after: after || undefined })).Entries,
    row => row.Name, [folder])
  const [filter, setFilter] = useState('')
  const [shown, setShown] = useState(null)
  const [naming, setNaming] = useState(false)
  const [chosen, setChosen] = useState(new Map())
  useEffect(() => setChosen(new Map()), [folder])
  const choose = item => setChosen(before => {
    const next = new Map(before)
    if (!next.delete(item.Name)) next.set(item.Name, item)
    return next
  })
  const running = uploads.use()
  const finished = running.filter(one => one.state === 'done').length
  useEffect(() => { if (finished) listed.again() }, [finished])
  const over = useDrop(async entries => send(folder, await dropped(entries)))
  let items = listed.items
  if (listed.done && items.length < SORTED) {
    items = [...items].sort((a, b) => b.Type - a.Type || order.compare(a.Name, b.Name))
  }
  if (filter) items = items.filter(one => one.Name.toLowerCase().includes(filter.toLowerCase()))
  const again = () => { listed.again(); ask() }
  const row = item => html`<input type="checkbox" aria-label=${T.choose(item.Name)} checked=${chosen.has(item.Name)} onChange=${() => choose(item)} />
    <${Icon} name=${item.Type === FOLDER ? 'folder' : 'file'} kind=${`kind ${item.Type === FOLDER ? 'folder' : ''}`} />
    ${item.Type === FOLDER
      ? html`<a class="name" href=${hash(join(folder, item.Name))}>${item.Name}</a>`
      : html`<button class="name" onClick=${() => setShown(item)}>${item.Name}</button>`}
    <span class="size">${item.Type === FOLDER ? '' : size(item.Size)}</span>
    <button class="plain icon" aria-label=${T.actions(item.Name)} onClick=${() => setShown(item)}>⋯</button>`
  return html`<div class=${over ? 'dropping' : ''} data-drop=${T.dropNow}>
    <h1 class="crumbs">${crumbs(folder)}</h1>
    <div class="bar">
      <${Pick} label=${T.addFiles} main folder=${folder} /><${Pick} label=${T.addFolder} folder=${folder} whole />
      <button onClick=${() => setNaming(true)}>${T.newFolder}</button>
      <div class="grow"></div>
      ${listed.items.length > 8 && html`<input type="search" class="grow" placeholder=${T.filter} aria-label=${T.filter} value=${filter}
        onInput=${event => setFilter(event.target.value)} />`}
    </div>
    ${chosen.size > 0 && html`<${Chosen} folder=${folder} items=${[...chosen.values()]} again=${again} done=${() => setChosen(new Map())} />`}
    <${Trouble} error=${listed.error} />
    <${BrokenOff} key=${running.length} />
    ${!listed.error && !listed.first && !listed.items.length && html`<div class="empty"><h2>${folder === '/' ? T.nothingYet : T.emptyFolder}</h2>
      <p>${T.dropHere}</p></div>`}
    ${listed.items.length > 0 && html`<${Rows} items=${items} row=${row} more=${listed.done ? null : listed.more} label=${T.entries} />
      <p class="hint" role="status">${listed.done ? T.count(items.length) : T.countSoFar(items.length)}${listed.items.length >= SORTED ? ' ' + T.unsorted : ''}</p>`}
    ${naming && html`<${Ask} title=${T.newFolder} label=${T.name} button=${T.make} onClose=${() => setNaming(false)}
      action=${async name => { await call('files/mkdir', { arg: join(folder, checked(name)) }); again() }} />`}
    ${shown && html`<${Entry} key=${shown.Name} folder=${folder} item=${shown} again=${again} onClose=${() => setShown(null)} />`}
  </div>`
}

/** Uploads that broke off when a page was closed: the same files, added again, go on. */
function BrokenOff () {
  const { value, again } = useLoaded(() => all('jobs/ls', { kind: 'add', state: 'interrupted' }), [])
  const mine = new Set(uploads.get().map(one => T.jobTitle(one.title)))
  return (value ?? []).filter(job => job.Title.startsWith(T.jobTitle('')) && !mine.has(job.Title)).map(job => html`
    <div class="notice"><div class="bar flat"><span class="grow">${T.brokeOff(job.Title.slice(T.jobTitle('').length), size(job.Bytes))}</span>
      <${Button} act=${async () => { await call('jobs/rm', { arg: String(job.ID) }); again() }}>${T.discard}<//></div></div>`)
}

function crumbs (folder) {
  const names = folder.split('/').filter(Boolean)
  return [html`<a href="#/files" aria-current=${names.length ? null : 'page'}>${T.rooms.files}</a>`, ...names.map((name, at) => html`<span class="sep" aria-hidden="true">/</span>
    <a href=${hash('/' + names.slice(0, at + 1).join('/'))} aria-current=${at === names.length - 1 ? 'page' : null}>${name}</a>`)]
}

function checked (name) {
  if (name.includes('/') || name === '.' || name === '..') throw new Failed(T.badName)
  return name
}

/** Whether files are being dragged over the page; `taken` gets what is dropped, wherever on it. */
function useDrop (taken) {
  const [over, setOver] = useState(false)
  const latest = useRef(taken)
  latest.current = taken
  useEffect(() => {
    let depth = 0
    const heard = {
      dragenter: event => { event.preventDefault(); depth++; setOver(true) },
      dragover: event => { event.preventDefault(); event.dataTransfer.dropEffect = 'copy' },
      dragleave: () => { if (--depth <= 0) { depth = 0; setOver(false) } },
      drop: event => {
        event.preventDefault()
        depth = 0
        setOver(false)
        const entries = [...event.dataTransfer.items].map(one => one.webkitGetAsEntry?.() ?? one.getAsFile()).filter(Boolean)
        attempt(() => latest.current(entries))
      }
    }
    const hear = event => { if (ofFiles(event)) heard[event.type](event) }
    for (const name of Object.keys(heard)) addEventListener(name, hear)
    return () => { for (const name of Object.keys(heard)) removeEventListener(name, hear) }
  }, [])
  return over
}

function Pick ({ label, folder, whole = false, main = false }) {
  const input = useRef(null)
  const chosen = () => {
    const files = [...input.current.files]
    input.current.value = ''
    attempt(() => send(folder, picked(files)))
  }
  return html`<input type="file" hidden multiple ref=${input} webkitdirectory=${whole} onChange=${chosen} aria-label=${label} />
    <button class=${main ? 'main' : ''} onClick=${() => input.current.click()}>${label}</button>`
}

async function moveInto (folder, items, target) {
  const there = '/' + target.replace(/^\/|\/$/g, '')
  await call('files/mkdir', { arg: there, parents: true })
  for (const item of items) await call('files/mv', { arg: [join(folder, item.Name), join(there, item.Name)] })
  say(T.moved(there))
}

/** The content stays stored until garbage is collected, so that the next seconds can bring it back. */
async function removeAll (folder, items, again) {
  await all('files/rm', { arg: items.map(item => join(folder, item.Name)), recursive: true })
  again()
  say(items.length > 1 ? T.removedMany(items.length) : T.removed(items[0].Name), () => attempt(async () => {
    for (const item of items) await call('files/cp', { arg: [`/ipfs/${item.Hash}`, join(folder, item.Name)] })
    again()
  }))
}

/** What can be done with several entries at once. */
function Chosen ({ folder, items, again, done }) {
  const [moving, setMoving] = useState(false)
  return html`<div class="bar" role="group" aria-label=${T.chosen(items.length)}><span role="status">${T.chosen(items.length)}</span>
    <button onClick=${() => setMoving(true)}>${T.move}</button>
    <${Button} class="danger" act=${async () => { await removeAll(folder, items, again); done() }}>${T.remove}<//>
    <button class="plain" onClick=${done}>${T.chooseNone}</button>
    ${moving && html`<${Ask} title=${T.move} label=${T.moveTo} value=${folder} button=${T.move} onClose=${() => setMoving(false)}
      action=${async target => { await moveInto(folder, items, target); again(); done() }} />`}</div>`
}

/** All that can be done with one entry. */
function Entry ({ folder, item, again, onClose }) {
  const [step, setStep] = useState('')
  const path = join(folder, item.Name)
  const isFolder = item.Type === FOLDER
  const remove = async () => {
    await removeAll(folder, [item], again)
    onClose()
  }
  if (step === 'share') return html`<${Share} cid=${item.Hash} name=${item.Name} folder=${isFolder} onClose=${onClose} />`
  if (step === 'rename') {
    return html`<${Ask} title=${T.rename} label=${T.name} value=${item.Name} button=${T.rename} onClose=${onClose}
      action=${async name => {
        await call('files/mv', { arg: [path, join(folder, checked(name))] })
        say(T.renamed)
        again()
      }} />`
  }
  if (step === 'move') {
    return html`<${Ask} title=${T.move} label=${T.moveTo} value=${folder} button=${T.move} onClose=${onClose}
      action=${async target => { await moveInto(folder, [item], target); again() }} />`
  }
  const at = `/ipfs/${item.Hash}`
  return html`<${Dialog} title=${item.Name} onClose=${onClose}>
    ${!isFolder && html`<${Preview} cid=${item.Hash} name=${item.Name} bytes=${item.Size} />`}
    <p class="hint">${isFolder ? '' : `${size(item.Size)} · `}<a class="mono" href=${`#/explore/${item.Hash}`}>${item.Hash}</a></p>
    <div class="bar">
      <button class="main" onClick=${() => setStep('share')}>${T.share}</button>
      ${gateway.get() ? html`
        <a class="button" target="_blank" rel="noreferrer" href=${open(at) + (isFolder ? '/' : `?filename=${encodeURIComponent(item.Name)}`)}>${T.openIt}</a>
        <${Saves} cid=${item.Hash} name=${item.Name} folder=${isFolder} />`
        : html`<p class="hint">${T.noGateway}</p>`}
    </div>
    <div class="bar">
      <${Button} act=${async () => { await call('pin/add', { arg: item.Hash, name: item.Name }); say(T.pinned(item.Name)) }}>${T.pin}<//>
      <button onClick=${() => setStep('rename')}>${T.rename}</button>
      <button onClick=${() => setStep('move')}>${T.move}</button>
      <${Button} class="danger" act=${remove}>${T.remove}<//>
    </div><//>`
}

/** Links that save content from this node's gateway: a file as it is, a folder as TAR, and both as CAR. */
export function Saves ({ cid, name, folder }) {
  const link = (form, ending, label) => html`<a class="button" href=${`${open(`/ipfs/${cid}`)}?${form}filename=${encodeURIComponent(name)}${ending}&download=true`}>${label}</a>`
  return html`${folder ? link('format=tar&', '.tar', T.downloadTar) : link('', '', T.download)}${link('format=car&', '.car', T.downloadCar)}`
}

const PICTURES = /\.(png|jpe?g|gif|webp|avif|svg|bmp|ico)$/i
const FILMS = /\.(mp4|webm|mov|m4v|ogv)$/i
const PAPERS = /\.pdf$/i
const SOUNDS = /\.(mp3|ogg|oga|opus|wav|flac|m4a|aac)$/i
const TEXTS = /(\.(txt|md|csv|json|ya?ml|toml|ini|log|py|js|ts|css|html?|xml|c|h|cpp|rs|go|sh|tex|sql)|^(readme|licen[cs]e|makefile))$/i

/** Shows content by the gateway's address, never as a page of this origin. */
export function Preview ({ cid, name, bytes: length }) {
  const base = gateway.get().replace('//localhost:', '//127.0.0.1:') // one origin, as the policy of this page names it
  const source = base && `${base}/ipfs/${cid}?filename=${encodeURIComponent(name)}`
  const [words, setWords] = useState('')
  useEffect(() => {
    if (!TEXTS.test(name)) return
    bytes('cat', { arg: `/ipfs/${cid}`, length: PREVIEW_BYTES }).then(
      read => setWords(new TextDecoder().decode(read) + (length > PREVIEW_BYTES ? `\n… ${T.andMore(number(length - PREVIEW_BYTES))}` : '')),
      error => setWords(error.message))
  }, [cid])
  if (source && PICTURES.test(name)) return html`<div class="preview"><img src=${source} alt=${name} /></div>`
  if (source && FILMS.test(name)) return html`<div class="preview"><video src=${source} controls preload="metadata"></video></div>`
  if (source && SOUNDS.test(name)) return html`<div class="preview"><audio src=${source} controls preload="metadata"></audio></div>`
  if (source && PAPERS.test(name)) return html`<div class="preview"><iframe src=${source} title=${name} referrerpolicy="no-referrer"></iframe></div>`
  return words ? html`<div class="preview"><pre tabindex="0">${words}</pre></div>` : null
}
