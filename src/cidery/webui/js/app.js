// The page: who gets in, the menu, and the room that the address names.
import { html, Icon, Toast, gateway, ofFiles, store, useEffect, usePolled, useState } from './parts.js'
import { render } from '../vendor/htm-preact.js'
import { call, enter, whenLost } from './api.js'
import { T } from './texts.js'
import { Files } from './files.js'
import { Uploads } from './upload.js'

const STATUS_MS = 5000
export const ROOMS = ['files', 'get', 'pins', 'names', 'explore', 'peers', 'jobs', 'settings', 'status']
const later = { // loaded when they are opened
  get: () => import('./get.js'), pins: () => import('./pins.js'), names: () => import('./names.js'),
  explore: () => import('./explore.js'), peers: () => import('./peers.js'), jobs: () => import('./jobs.js'),
  settings: () => import('./settings.js'), status: () => import('./status.js')
}
const status = store(null)
const answering = store(true)

/** Room and path that a hash names; those of the official page lead to their counterparts here. */
function placed (hash) {
  const [room, ...parts] = hash.replace(/^#\/?/, '').split('/').map(decoded)
  const path = parts.join('/')
  if (room === 'ipfs' || room === 'ipns') return { room: 'get', path: `/${room}/${path}` }
  if (room === 'diagnostics') return { room: 'status', path: '' }
  return ROOMS.includes(room) ? { room, path } : { room: 'files', path: '' }
}

function decoded (part) {
  try { return decodeURIComponent(part) } catch { return part } // a link made by hand may hold a bare %
}

function App () {
  const [drawn] = useState(location.hash)
  const [place, setPlace] = useState(placed(drawn))
  const [Room, setRoom] = useState(() => Files)
  const seen = status.use()
  const here = answering.use()
  useEffect(() => {
    const moved = () => setPlace(placed(location.hash))
    addEventListener('hashchange', moved)
    if (location.hash !== drawn) moved() // since the first drawing
    return () => removeEventListener('hashchange', moved)
  }, [])
  useEffect(() => {
    let ended = false
    const here = document.querySelector('nav [aria-current]') // on phones the menu is a line that scrolls
    if (here) here.parentNode.scrollLeft += here.getBoundingClientRect().left - here.parentNode.getBoundingClientRect().left - 40
    document.title = `${T.rooms[place.room]} – Cidery`
    if (place.room === 'files') setRoom(() => Files)
    else later[place.room]().then(made => ended || setRoom(() => made.default))
    return () => { ended = true }
  }, [place.room])
  usePolled(ask, STATUS_MS)
  const attention = seen?.Attention.length
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); document.querySelector('main').focus() }}>${T.skip}</a>
    ${!here && html`<div class="lost" role="alert">${T.lost}</div>`}
    <div class="layout"><div class="side">
      <a class="brand" href="#/files"><img src="/webui/icon.svg" alt="" />Cidery</a>
      <nav aria-label=${T.menu}>${ROOMS.map(room => html`<a href=${`#/${room}`} aria-current=${room === place.room ? 'page' : null}>
        <${Icon} name=${room} />${T.rooms[room]}${room === 'status' && attention
          ? html`<span class="badge" aria-label=${T.attention(attention)}>${attention}</span>` : ''}</a>`)}</nav>
      <div class="net">${seen && (seen.Online ? T.peers(seen.Peers) : T.offline)}</div>
    </div>
    <main id="main" tabindex="-1"><${Room} path=${place.path} status=${seen} ask=${ask} key=${place.room} /></main></div>
    <div class="tray"><${Uploads} /><${Toast} /></div>`
}

/** Whether a URL leads to the machine of the browser: from another one, a gateway's 127.0.0.1 would be somebody else. */
function isHere (url) { return /^(localhost|127\..*|\[::1\])$/.test(new URL(url).hostname) }

async function ask () {
  try {
    const seen = await call('status')
    const reached = seen.Gateway && (isHere(location.href) || !isHere(seen.Gateway)) ? seen.Gateway.replace(/\/$/, '') : ''
    if (reached !== gateway.get()) gateway.set(reached)
    status.set(seen)
    answering.set(true)
  } catch (error) {
    answering.set(false)
  }
}

function shut (why) {
  render(null, document.getElementById('app'))
  document.body.append(enterPage)
  enterPage.hidden = false
  document.getElementById('enter-why').textContent = why.trim()
}

const enterPage = document.getElementById('enter')
enterPage.remove() // only one of the two is in the page, for screen readers too
// a file dropped where nothing takes it must not open in the place of the page
addEventListener('dragover', event => {
  if (!ofFiles(event)) return
  event.preventDefault()
  event.dataTransfer.dropEffect = 'none'
})
// a link pasted into the tab of an open page changes only the hash
addEventListener('hashchange', () => { if (location.hash.startsWith('#ticket=')) location.reload() })
const asked = new URLSearchParams(location.search).get('open') // an ipfs:// link of the system
const why = await enter()
if (why) shut(why)
else {
  if (asked) history.replaceState(null, '', `/webui#/get/${encodeURIComponent(asked)}`)
  whenLost(shut)
  await ask()
  render(html`<${App} />`, document.getElementById('app'))
}
