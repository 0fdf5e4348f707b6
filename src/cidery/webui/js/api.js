// Calls of the RPC, and the session that lets this page make them.
import { T } from './texts.js'

export class Failed extends Error {}
/** Nothing answers where the node was. */
export class Gone extends Failed {}

const KEY = 'cidery-session'
const others = new BroadcastChannel('cidery-session')
const OTHERS_MS = 250 // tabs of this computer answer at once, or there is none
let secret = null
let onLost = () => {}

others.onmessage = ({ data }) => {
  if (data === 'who has a session?' && secret) others.postMessage({ secret })
}

export function whenLost (said) { onLost = said }
export function authorization () { return secret }

/** The link's ticket becomes a session, or one of this tab or of another open tab is used. Says why not, or ''. */
export async function enter () {
  const [, ticket] = /^#ticket=([\w-]+)/.exec(location.hash) ?? []
  if (ticket) {
    history.replaceState(null, '', '/webui#/files')
    const answer = await fetch('/webui/session', { method: 'POST', headers: { Authorization: `Ticket ${ticket}` } })
    if (answer.ok) keep((await answer.json()).Authorization)
    else if (!sessionStorage.getItem(KEY)) return (await answer.text()).trim()
  }
  secret ??= sessionStorage.getItem(KEY) ?? await fromOthers()
  if (!secret) return ' '
  const answer = await fetch('/api/v0/version', { method: 'POST', headers: { Authorization: secret } })
  if (answer.status === 401) {
    forget()
    return (await answer.text()).trim()
  }
  return ''
}

function keep (given) {
  secret = given
  sessionStorage.setItem(KEY, given)
}

function forget () {
  secret = null
  sessionStorage.removeItem(KEY)
}

function fromOthers () {
  return new Promise(resolve => {
    const asked = new BroadcastChannel('cidery-session')
    const end = setTimeout(() => { asked.close(); resolve(null) }, OTHERS_MS)
    asked.onmessage = ({ data }) => {
      if (!data.secret) return
      clearTimeout(end)
      asked.close()
      keep(data.secret)
      resolve(data.secret)
    }
    asked.postMessage('who has a session?')
  })
}

function address (path, params) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null) query.append(name, one)
  }
  return `/api/v0/${path}?${query}`
}

async function request (path, params, { body, signal } = {}) {
  const headers = { Authorization: secret }
  let answer
  try {
    answer = await fetch(address(path, params), { method: 'POST', headers, body, signal })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Gone(T.noAnswer)
  }
  if (answer.ok) return answer
  const said = (await answer.text()).trim()
  if (answer.status === 401) onLost(said)
  throw new Failed(readable(said))
}

export function readable (said) {
  try { return JSON.parse(said).Message ?? said } catch { return said || T.noReason }
}

/** One value. */
export async function call (path, params = {}, options) {
  const said = await (await request(path, params, options)).text()
  return said ? JSON.parse(said) : null
}

/** All values of a stream. */
export async function all (path, params = {}, options) {
  const values = []
  for await (const value of stream(path, params, options)) values.push(value)
  return values
}

/** The values of a stream as they arrive. */
export async function * stream (path, params = {}, options) {
  const answer = await request(path, params, options)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      const lines = (rest + value).split('\n')
      rest = lines.pop()
      for (const line of lines) if (line) yield JSON.parse(line)
    }
    if (rest) yield JSON.parse(rest)
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof SyntaxError) throw error
    throw new Failed(T.cutOff)
  } finally {
    reader.cancel().catch(() => {}) // the call ends with its reader
  }
}

/** Bytes. */
export async function bytes (path, params = {}, options) {
  return new Uint8Array(await (await request(path, params, options)).arrayBuffer())
}

/** A body for commands that take a file. */
export function form (text) {
  const made = new FormData()
  made.append('file', new Blob([text]))
  return made
}
