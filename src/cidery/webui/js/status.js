// How the node is, and what needs attention.
import { html, Button, Dialog, number, say, sentence, size, useState } from './parts.js'
import { stream, Failed } from './api.js'
import { T } from './texts.js'

export default function Status ({ status, ask }) {
  if (!status) return html`<h1>${T.rooms.status}</h1>`
  const announced = status.Announced
  const rows = [
    [T.peerId, html`<span class="mono">${status.ID}</span>`], [T.version, status.Version],
    [T.listening, status.Listening.length ? status.Listening.map(one => html`<div class="mono">${one}</div>`) : T.nowhere],
    [T.reachableAt, status.Reachable.length ? status.Reachable.map(one => html`<div class="mono">${one}</div>`) : T.notKnown],
    [T.gatewayAt, status.Gateway ? html`<a href=${status.Gateway} target="_blank" rel="noreferrer">${status.Gateway}</a>` : T.off],
    [T.repository, html`<span class="mono">${status.RepoPath}</span>`],
    [T.announcedKeys, announced ? T.announcedOf(announced) : T.nothingAnnounced]
  ]
  return html`<h1>${T.rooms.status}</h1>
    ${status.Attention.length ? status.Attention.map(one => html`<div class="notice">${sentence(one)}</div>`) : html`<div class="notice good">${T.allWell}</div>`}
    <h2>${T.now}</h2>
    <div class="tiles">
      ${tile(number(status.Peers), T.peersConnected(status.Peers))}${tile(number(status.Pins), T.pinsKept(status.Pins))}${tile(number(status.Blocks), T.blocksStored(status.Blocks))}
      ${tile(size(status.RepoSize), T.ofSpace(size(status.StorageMax)))}${tile(`${size(status.RateIn)}/s`, T.incoming)}${tile(`${size(status.RateOut)}/s`, T.outgoing)}
    </div>
    <${Collect} ask=${ask} />
    <h2>${T.details}</h2>
    <table><tbody>${rows.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`)}</tbody></table>`
}

/** Removes what nothing keeps, after a question: it cannot be undone. */
function Collect ({ ask }) {
  const [asking, setAsking] = useState(false)
  const collect = async () => {
    let end = null
    for await (const one of stream('repo/gc', { stats: true, 'stream-errors': true })) {
      if (one.Error) throw new Failed(one.Error)
      if (one.Freed !== undefined) end = one
    }
    if (!end) throw new Failed(T.notCollected)
    setAsking(false)
    say(T.freed(size(end.Freed), end.Removed))
    ask()
  }
  return html`<button onClick=${() => setAsking(true)}>${T.collect}</button>
    ${asking && html`<${Dialog} title=${T.collect} onClose=${() => setAsking(false)}><p>${T.collectHint}</p>
      <${Button} class="danger" act=${collect}>${T.collectNow}<//><//>`}`
}

const tile = (value, name) => html`<div class="tile"><b>${value}</b><span>${name}</span></div>`
