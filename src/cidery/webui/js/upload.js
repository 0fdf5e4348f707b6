// Uploads: one request for all that was dropped, read from disk while it is sent; many small files go in parts before it.
// The daemon notes what it has stored as a job, so that after a broken connection, a restart or a reload only the rest is
// sent.
import { html, size, span, store, say, attempt } from './parts.js'
import { all, authorization, call, readable, Failed, Gone } from './api.js'
import { T } from './texts.js'
import { allReadable, parts, smallFiles } from './small_files.js'

const TITLE_LENGTH = 150 // of a job
const RETRY_MS = 2000
const RATE_SECONDS = 5 // over which the rate is smoothed
const TOGETHER = 256 // dropped entries looked at at once
const TELL_MS = 1000 // between two words on how far that is

export const uploads = store([])

/** Files of an <input>, as [{path, file}]. */
export const picked = files => files.map(file => ({ path: file.webkitRelativePath || file.name, file }))

/** Files and folders that were dropped, with empty folders: [{path, file?}], in the same order each time. */
export async function dropped (entries) {
  const found = []
  const waiting = entries.map(entry => ['', entry])
  let told = performance.now()
  for (let at = 0; at < waiting.length;) {
    const some = waiting.slice(at, at + TOGETHER)
    at += some.length
    for (const { items, below } of await Promise.all(some.map(lookedAt))) {
      for (const one of items) found.push(one)
      for (const one of below) waiting.push(one)
    }
    if (performance.now() - told > TELL_MS) {
      told = performance.now()
      say(T.lookedAt(found.length))
    }
  }
  return found
}

/** What a dropped entry stands for, and what is below it. */
async function lookedAt ([above, entry]) {
  if (entry instanceof File) return { items: [{ path: above + entry.name, file: entry }], below: [] }
  if (entry.isFile) {
    return { items: [{ path: above + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }], below: [] }
  }
  const reader = entry.createReader()
  const below = []
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))
    if (!some.length) break
    for (const one of some) below.push([`${above}${entry.name}/`, one])
  }
  return { items: below.length ? [] : [{ path: above + entry.name }], below }
}

function hashed (text) { // 53 bits, as an inode number that stays the same for a path
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    a = Math.imul(a ^ code, 2654435761)
    b = Math.imul(b ^ code, 1597334677)
  }
  return 4294967296 * (2097151 & (b >>> 0)) + (a >>> 0)
}

const identity = ({ path, file }) => `0-${hashed(path)}-${file.size}-${file.lastModified}000000-${file.lastModified}000000`

async function keyOf (folder, items) {
  const what = JSON.stringify([folder, items.map(one => [one.path, one.file?.size, one.file?.lastModified])])
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(what)))
  return [...digest.slice(0, 16)].map(one => one.toString(16).padStart(2, '0')).join('')
}

const hasOf = (item, known) => item.file ? Math.min(known.get(identity(item)) ?? 0, item.file.size) : 0
const isKnown = (item, known) => hasOf(item, known) === item.file?.size && known.has(identity(item))

/** The body for [{item, has, bytes}]: headers as text, and what is not there yet, as it is on disk unless it was read. */
function body (entries, names, boundary) {
  const pieces = []
  for (const { item, has = 0, all = false, bytes } of entries) {
    const [top, ...rest] = item.path.split('/')
    const name = encodeURIComponent([names.get(top) ?? top, ...rest].join('/'))
    const state = item.file
      ? `File-Identity: ${identity(item)}\r\n${all ? 'File-Has: all\r\n' : has ? `File-Has: ${has}\r\n` : ''}` : ''
    pieces.push(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n` +
      `Content-Type: ${item.file ? 'application/octet-stream' : 'application/x-directory'}\r\n${state}\r\n`)
    if (item.file && !all) pieces.push(bytes ?? (has ? item.file.slice(has) : item.file))
    pieces.push('\r\n')
  }
  pieces.push(`--${boundary}--\r\n`)
  return new Blob(pieces)
}

/** A free name for each of the topmost entries, as `a (2).txt`. */
async function freeNames (folder, items) {
  const names = new Map()
  for (const top of new Set(items.map(one => one.path.split('/')[0]))) {
    const [, stem, ending] = /^(.+?)(\.[^.]*)?$/.exec(top)
    for (let count = 1; ; count++) {
      const name = count === 1 ? top : `${stem} (${count})${ending ?? ''}`
      if (await isThere(folder, name)) continue
      names.set(top, name)
      break
    }
  }
  return names
}

async function isThere (folder, name) {
  try {
    await call('files/stat', { arg: `${folder.replace(/\/$/, '')}/${name}`, hash: true })
    return true
  } catch (error) {
    if (/does not exist|no such|not found/i.test(error.message)) return false
    throw error
  }
}

function titleOf ([first, ...more]) {
  const name = first.slice(0, TITLE_LENGTH)
  return more.length ? T.titleOfMany(name, more.length) : name
}

export async function send (folder, items) {
  if (!items.length) return
  const tops = [...new Set(items.map(one => one.path.split('/')[0]))]
  const total = items.reduce((sum, one) => sum + (one.file?.size ?? 0), 0)
  const one = {
    folder, items, total, sent: 0, rate: 0, state: 'sending', error: '', title: titleOf(tops),
    files: items.filter(item => item.file).length, request: null
  }
  uploads.set([...uploads.get(), one])
  await run(one)
}

const changed = () => uploads.set([...uploads.get()])

async function run (one) {
  try {
    one.key ??= await keyOf(one.folder, one.items)
    one.names ??= await freeNames(one.folder, one.items)
    while (one.state !== 'cancelled') {
      const known = await knownOf(one)
      one.had = sizeOf(one, known)
      const outcome = await sendAll(one, known)
      if (outcome === 'done') {
        one.state = 'done'
        setTimeout(() => uploads.set(uploads.get().filter(other => other !== one)), 8000)
        break
      }
      if (outcome === 'cancelled') break
      one.state = 'waiting'
      changed()
      await answering(one)
      await allReadable(one.items.filter(item => !isKnown(item, known)))
      if (one.state === 'waiting') one.state = 'sending'
      changed()
    }
  } catch (error) {
    one.state = 'failed'
    one.error = error.message
  }
  changed()
}

/** Until the node answers again. */
async function answering (one) {
  while (one.state === 'waiting') {
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
    try { await call('version'); return } catch (error) { if (!(error instanceof Gone)) throw error }
  }
}

const knownOf = async one => new Map((await all('jobs/known', { arg: one.key })).map(row => [row.File, row.Bytes]))
const sizeOf = (one, known) => one.items.reduce((sum, item) => sum + hasOf(item, known), 0)

/** Small files first, then all the rest: 'done', 'broken' or 'cancelled'. Throws what is refused. */
async function sendAll (one, known) {
  const small = one.listed ? [] : smallFiles(one.items, item => isKnown(item, known))
  if (!small.length) return sendRest(one, known)
  const outcome = await sendParts(one, small, sizeOf(one, known))
  if (outcome !== 'done') return outcome
  const now = new Map([...known, ...small.map(item => [identity(item), item.file.size])])
  try { return await sendRest(one, now) } catch (error) {
    if (!/run the command again/.test(error.message)) throw error
    one.listed = true // the node noted less than it got: this computer's clock may be wrong, and files seem to change now
    return sendRest(one, await knownOf(one))
  }
}

/** Small files, each part read while the one before is sent: 'done', 'broken' or 'cancelled'. Throws what is refused. */
async function sendParts (one, small, had) {
  let sending = Promise.resolve('done')
  for await (const part of parts(small)) {
    const outcome = await sending
    if (outcome !== 'done') return outcome
    if (one.state === 'cancelled') return 'cancelled'
    sending = request(one, { 'more-follows': 'true' }, part, had)
    had += part.reduce((sum, { item }) => sum + item.file.size, 0)
  }
  return sending
}

/** The request that ends the upload, with all that is not stored yet. */
async function sendRest (one, known) {
  if (one.state === 'cancelled') return 'cancelled'
  const had = sizeOf(one, known)
  const entries = one.items.map(item => ({ item, has: hasOf(item, known), all: item.file && isKnown(item, known) }))
  const outcome = await request(one, { 'to-files': one.folder.replace(/\/?$/, '/'), 'roots-only': 'true' }, entries, had)
  if (outcome === 'done') await checkStored(one)
  return outcome
}

/** One request: 'done', 'broken' when the node has gone, or 'cancelled'. Throws what it refuses. */
function request (one, options, entries, had) {
  const boundary = `cidery-${crypto.randomUUID()}`
  const query = new URLSearchParams({ ...options, pin: 'false', 'resume-key': one.key, 'job-title': T.jobTitle(one.title) })
  const blob = body(entries, one.names, boundary)
  one.sent = had
  let last = performance.now()
  return new Promise((resolve, reject) => {
    const made = one.request = new XMLHttpRequest()
    made.open('POST', `/api/v0/add?${query}`)
    made.setRequestHeader('Authorization', authorization())
    made.setRequestHeader('Content-Type', `multipart/form-data; boundary=${boundary}`)
    made.upload.onprogress = event => {
      const now = performance.now()
      const sent = Math.min(one.total, had + event.loaded)
      const seconds = (now - last) / 1000
      if (seconds < 0.1 && sent < one.total) return
      const share = 1 - Math.exp(-seconds / RATE_SECONDS)
      one.rate = one.rate ? one.rate + share * ((sent - one.sent) / seconds - one.rate) : (sent - one.sent) / seconds
      one.sent = sent
      last = now
      if (sent >= one.total) one.state = 'storing'
      changed()
    }
    made.onabort = () => resolve('cancelled')
    made.onerror = () => resolve('broken')
    made.onload = () => made.status === 200 ? resolve('done') : reject(new Failed(readable(made.responseText.trim())))
    made.send(blob)
  })
}

/** An error behind the first byte of the answer is in a trailer, which browsers do not show: look instead. */
async function checkStored (one) {
  for (const name of one.names.values()) {
    if (!await isThere(one.folder, name)) throw new Failed(T.notStored(name))
  }
}

async function cancel (one) {
  one.state = 'cancelled'
  one.request?.abort()
  uploads.set(uploads.get().filter(other => other !== one))
  say(T.cancelled(one.title))
  await forget(one)
}

/** What was stored of a cancelled upload need not be kept. */
async function forget (one) {
  for (let tries = 0; tries < 5; tries++) {
    const jobs = await all('jobs/ls', { kind: 'add', state: 'interrupted' })
    const found = jobs.filter(job => job.Title === T.jobTitle(one.title))
    if (found.length) return call('jobs/rm', { arg: found.map(job => String(job.ID)) })
    await new Promise(resolve => setTimeout(resolve, 400))
  }
}

addEventListener('beforeunload', event => {
  if (uploads.get().some(one => ['sending', 'waiting', 'storing'].includes(one.state))) event.preventDefault()
})

export function Uploads () {
  return uploads.use().map(one => html`<div class="card" role="group" aria-label=${T.uploadOf(one.title)} key=${one.key}>
    <div class="top"><b>${one.title}</b>
      ${one.state === 'failed' && html`<button onClick=${() => { one.state = 'sending'; changed(); run(one) }}>${T.again}</button>`}
      ${one.state !== 'done' && html`<button onClick=${() => attempt(() => cancel(one))}>${T.cancel}</button>`}</div>
    <progress max=${one.total || 1} value=${one.state === 'done' ? one.total || 1 : one.sent} aria-label=${T.uploadOf(one.title)}></progress>
    <div class=${one.state === 'failed' ? 'error' : 'hint'} role="status">${line(one)}</div></div>`)
}

function line (one) {
  if (one.state === 'failed') return one.error
  if (one.state === 'done') return T.uploaded(one.files)
  if (one.state === 'waiting') return T.waiting
  if (one.state === 'storing') return T.storing
  const left = one.rate ? span((one.total - one.sent) / one.rate) : ''
  const went = one.had ? ` · ${T.wentOn(size(one.had))}` : ''
  return `${size(one.sent)} / ${size(one.total)}${one.rate ? ` · ${size(one.rate)}/s` : ''}${left ? ` · ${T.left(left)}` : ''}${went}`
}
