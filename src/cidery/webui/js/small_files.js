// Many small files. A browser opens the files of a request one by one, each at the cost of a megabyte, so they are read
// here, many at once, and sent in parts that the node stores and keeps for the request that ends the upload.
import { Failed } from './api.js'
import { T } from './texts.js'

const SMALL = 256 * 1024
const WORTH = 100 // files: fewer go with the others
const TOGETHER = 128 // files read at once
const TOGETHER_BYTES = 2 * 1024 * 1024
const AHEAD = 4 // such reads under way: the browser opens files in several threads
const PART_BYTES = 8 * 1024 * 1024
const PART_FILES = 5000
const STILL_MS = 5000 // a file changed just now is not gone on with

/** The small files that the node does not have yet; none if they are few. */
export function smallFiles (items, isKnown) {
  const still = Date.now() - STILL_MS
  const found = items.filter(one => one.file && one.file.size <= SMALL && one.file.lastModified < still && !isKnown(one))
  return found.length < WORTH ? [] : found
}

/** Parts of them, as [{item, bytes}], read while they are asked for; at most 30 MB are in memory. */
export async function * parts (items) {
  let part = []
  let size = 0
  for await (const [some, read] of ahead(groups(items))) {
    let from = 0
    for (const item of some) {
      part.push({ item, bytes: read.subarray(from, from + item.file.size) })
      from += item.file.size
    }
    size += from
    if (size >= PART_BYTES || part.length >= PART_FILES) {
      yield part
      part = []
      size = 0
    }
  }
  if (part.length) yield part
}

function * groups (items) {
  for (let at = 0; at < items.length;) {
    const from = at
    for (let size = 0; at < items.length && at - from < TOGETHER && size < TOGETHER_BYTES; at++) size += items[at].file.size
    yield items.slice(from, at)
  }
}

async function * ahead (groups) {
  const reading = []
  for (const some of groups) {
    const read = readTogether(some)
    read.catch(() => {}) // it is awaited in its turn
    reading.push([some, read])
    if (reading.length >= AHEAD) yield await next(reading)
  }
  while (reading.length) yield await next(reading)
}

async function next (reading) {
  const [some, read] = reading.shift()
  return [some, await read]
}

async function readTogether (items) {
  try {
    return new Uint8Array(await new Blob(items.map(one => one.file)).arrayBuffer())
  } catch {
    await allReadable(items)
    throw new Failed(T.notRead(items[0].path)) // it was unreadable for a moment
  }
}

/** Throws for the first file that cannot be read any more, since it was changed or removed. */
export async function allReadable (items) {
  for (const { path, file } of items) {
    try { await file?.slice(0, 1).arrayBuffer() } catch { throw new Failed(T.notRead(path)) }
  }
}
