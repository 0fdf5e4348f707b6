// Any node as a readable tree, and its CID taken apart.
import { html, Trouble, number, size, useEffect, useLoaded, useState } from './parts.js'
import { bytes, call } from './api.js'
import { T } from './texts.js'
import { contentPath } from './get.js'

const HEX_BYTES = 512
const SHOWN_KEYS = 200
const RAW = /^raw$/

export default function Explore ({ path }) {
  const [text, setText] = useState(path)
  useEffect(() => setText(path), [path])
  const go = event => { event.preventDefault(); location.hash = `#/explore/${encodeURIComponent(text.trim())}` }
  return html`<h1>${T.rooms.explore}</h1>
    <form class="bar" onSubmit=${go}><input class="grow" value=${text} onInput=${event => setText(event.target.value)} aria-label=${T.cidOrPath} placeholder=${T.cidOrPath} autocomplete="off" spellcheck="false" />
      <button class="main" disabled=${!text.trim()}>${T.show}</button></form>
    ${path ? html`<${Node} given=${path} key=${path} />` : html`<p class="hint">${T.exploreHint}</p>`}`
}

function Node ({ given }) {
  const { value, error } = useLoaded(async signal => {
    const path = contentPath(given)
    const found = await call('dag/resolve', { arg: path }, { signal })
    const cid = found.Cid['/']
    const about = await call('cid/inspect', { arg: cid }, { signal }).catch(() => null)
    const block = await bytes('block/get', { arg: cid }, { signal })
    const isRaw = RAW.test(about?.codec?.name ?? about?.Codec ?? '')
    const node = isRaw ? null : await call('dag/get', { arg: cid, 'output-codec': 'dag-json' }, { signal }).catch(problem => ({ problem }))
    return { cid, about, block, node }
  }, [given])
  if (error) return html`<${Trouble} error=${error} />`
  if (!value) return html`<p class="hint" role="status">${T.looking}</p>`
  const { cid, about, block, node } = value
  const links = node?.Links
  return html`<div class="card"><p class="mono">${cid}</p>
      <p class="hint">${size(block.length)}${links ? ` · ${T.links(links.length)}` : ''} · <a href=${`#/get/${encodeURIComponent('/ipfs/' + cid)}`}>${T.asContent}</a></p></div>
    ${about && html`<h2>${T.theCid}</h2><div class="card"><${Tree} value=${about} /></div>`}
    ${links?.length > 0 && html`<h2>${T.linksTitle}</h2><div class="scroll"><table><thead><tr><th>${T.name}</th><th>CID</th><th class="num">${T.sizeBelow}</th></tr></thead><tbody>
      ${links.slice(0, SHOWN_KEYS).map(one => html`<tr><td>${one.Name || '–'}</td><td class="mono"><a href=${`#/explore/${one.Hash['/']}`}>${one.Hash['/']}</a></td><td class="num">${one.Tsize === undefined ? '' : size(one.Tsize)}</td></tr>`)}
      </tbody></table></div>${links.length > SHOWN_KEYS && html`<p class="hint">${T.andMoreLinks(links.length - SHOWN_KEYS)}</p>`}`}
    ${node && !node.problem && !links && html`<h2>${T.node}</h2><div class="card"><${Tree} value=${node} /></div>`}
    ${node?.problem && html`<${Trouble} error=${node.problem} />`}
    <h2>${T.block}</h2><pre tabindex="0">${hex(block.subarray(0, HEX_BYTES))}${block.length > HEX_BYTES ? `\n… ${T.andMore(number(block.length - HEX_BYTES))}` : ''}</pre>`
}

function Tree ({ value }) {
  if (value === null || typeof value !== 'object') return html`<span class="tree">${JSON.stringify(value)}</span>`
  if (typeof value['/'] === 'string') return html`<a class="mono" href=${`#/explore/${value['/']}`}>${value['/']}</a>`
  const entries = Object.entries(value)
  return html`<ul class="tree">${entries.slice(0, SHOWN_KEYS).map(([key, one]) => html`<li><span class="key">${key}: </span><${Tree} value=${one} /></li>`)}
    ${entries.length > SHOWN_KEYS && html`<li>${T.andMoreLinks(entries.length - SHOWN_KEYS)}</li>`}${entries.length === 0 && html`<li>${Array.isArray(value) ? '[]' : '{}'}</li>`}</ul>`
}

function hex (data) {
  const lines = []
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)]
    const shown = row.map(one => one >= 32 && one < 127 ? String.fromCharCode(one) : '.').join('')
    lines.push(`${at.toString(16).padStart(6, '0')}  ${row.map(one => one.toString(16).padStart(2, '0')).join(' ').padEnd(47)}  ${shown}`)
  }
  return lines.join('\n')
}
