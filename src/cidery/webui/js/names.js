// Names that can change what they point to: own keys, and names of others that are kept alive.
import { html, Ask, Button, Copy, Dialog, Trouble, say, short, useLoaded, useState } from './parts.js'
import { all, call } from './api.js'
import { T } from './texts.js'
import { contentPath } from './get.js'

export default function Names () {
  const loaded = useLoaded(async () => {
    const [keys, followed] = await Promise.all([call('key/list'), call('name/ls')])
    const values = new Map(await Promise.all(keys.Keys.map(async key => [key.Id, await current(key.Id)])))
    return { keys: keys.Keys, followed: followed.Names ?? [], values }
  }, [])
  const [step, setStep] = useState(null)
  const end = () => { setStep(null); loaded.again() }
  const remove = key => async () => {
    await call('key/rm', { arg: key.Name })
    say(T.keyRemoved(key.Name))
    loaded.again()
  }
  const { value } = loaded
  return html`<h1>${T.rooms.names}</h1><p class="hint">${T.namesHint}</p><${Trouble} error=${loaded.error} />
    <div class="bar spaced"><h2 class="grow">${T.ownNames}</h2><button class="main" onClick=${() => setStep({ kind: 'key' })}>${T.newKey}</button></div>
    ${value?.keys.map(key => html`<div class="card" key=${key.Id}><div class="bar"><b class="grow">${key.Name === 'self' ? T.selfKey : key.Name}</b>
      <button onClick=${() => setStep({ kind: 'publish', key })}>${T.publish}</button>
      <button onClick=${() => setStep({ kind: 'domain', key })}>${T.domain}</button>
      ${key.Name !== 'self' && html`<button class="danger" onClick=${() => setStep({ kind: 'remove', key })}>${T.remove}</button>`}</div>
      <p class="mono">/ipns/${key.Id}</p>
      <p class="hint">${value.values.get(key.Id) ? html`${T.pointsTo} <a class="mono" href=${`#/get/${encodeURIComponent(value.values.get(key.Id))}`}>${value.values.get(key.Id)}</a>` : T.pointsNowhere}</p></div>`)}
    <div class="bar spaced"><h2 class="grow">${T.followed}</h2><button onClick=${() => setStep({ kind: 'follow' })}>${T.follow}</button></div>
    ${value && !value.followed.length && html`<p class="hint">${T.followedHint}</p>`}
    ${value?.followed.map(one => html`<div class="card" key=${one.Name}><div class="bar"><span class="grow mono">${one.Name}</span>
      <${Button} act=${async () => { await call('name/unfollow', { arg: one.Name }); loaded.again() }}>${T.unfollow}<//></div>
      <p class="hint mono">${one.Value || T.pointsNowhere}</p></div>`)}
    ${step?.kind === 'key' && html`<${Ask} title=${T.newKey} label=${T.name} button=${T.make} onClose=${end} action=${name => call('key/gen', { arg: name })} />`}
    ${step?.kind === 'publish' && html`<${Ask} title=${T.publishUnder(step.key.Name)} label=${T.whatToPublish} button=${T.publish} onClose=${end}
      action=${async text => {
        const path = text.startsWith('/') && !/^\/ip[fn]s\//.test(text) ? `/ipfs/${(await call('files/stat', { arg: text, hash: true })).Hash}` : contentPath(text)
        await call('name/publish', { arg: path, key: step.key.Name, 'allow-offline': true })
        say(T.published)
      }} />`}
    ${step?.kind === 'follow' && html`<${Ask} title=${T.follow} label=${T.nameToFollow} button=${T.follow} onClose=${end}
      action=${name => all('name/follow', { arg: name.replace(/^(ipns:\/\/|\/ipns\/)/, '') })} />`}
    ${step?.kind === 'domain' && html`<${Domain} id=${step.key.Id} onClose=${end} />`}
    ${step?.kind === 'remove' && html`<${Dialog} title=${T.removeKey(step.key.Name)} onClose=${end}><p>${T.removeKeyHint}</p>
      <${Button} class="danger" act=${async () => { await remove(step.key)(); end() }}>${T.removeForEver}<//><//>`}`
}

async function current (id) {
  try { return (await call('name/resolve', { arg: id, offline: true, recursive: false })).Path } catch { return '' }
}

function Domain ({ id, onClose }) {
  const [domain, setDomain] = useState('')
  const [found, setFound] = useState('')
  const check = async () => {
    setFound('')
    const { Path } = await call('name/resolve', { arg: domain.trim(), recursive: false, nocache: true })
    setFound(Path === `/ipns/${id}` ? T.domainRight : T.domainOther(Path))
  }
  return html`<${Dialog} title=${T.domain} onClose=${onClose}>
    <div class="field"><label for="domain">${T.yourDomain}</label><input id="domain" value=${domain} placeholder="example.org" onInput=${event => setDomain(event.target.value)} /></div>
    <p>${T.domainHint}</p><label>${T.recordName}</label><${Copy} text=${`_dnslink.${domain.trim() || 'example.org'}`} label=${T.recordName} />
    <p></p><label>${T.recordText}</label><${Copy} text=${`dnslink=/ipns/${id}`} label=${T.recordText} />
    <p></p><${Button} class="main" act=${check}>${T.checkDomain}<//><p role="status">${found}</p><//>`
}
