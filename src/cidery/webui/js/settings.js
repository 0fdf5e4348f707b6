// The config: each key with what it means, and the whole as JSON for experts.
import { html, Button, Trouble, say, useLoaded, useState } from './parts.js'
import { authorization, call, form } from './api.js'
import { T } from './texts.js'

const looked = (config, key) => key.split('.').reduce((value, part) => value?.[part], config)

export default function Settings () {
  const loaded = useLoaded(async () => {
    const [config, meaning] = await Promise.all([call('config/show'), fetch('/webui/settings.json', { headers: { Authorization: authorization() } }).then(answer => answer.json())])
    return { config, meaning }
  }, [])
  const [filter, setFilter] = useState('')
  const [raw, setRaw] = useState(false)
  const { value, error } = loaded
  const words = filter.toLowerCase()
  const keys = value ? Object.keys(value.meaning).filter(key => !key.startsWith('Identity.') && `${key} ${value.meaning[key].Meaning}`.toLowerCase().includes(words)) : []
  return html`<h1>${T.rooms.settings}</h1><p class="hint">${T.settingsHint}</p><${Trouble} error=${error} />
    <div class="bar"><input type="search" class="grow" placeholder=${T.searchSettings} aria-label=${T.searchSettings} value=${filter} onInput=${event => setFilter(event.target.value)} />
      <button aria-expanded=${raw} onClick=${() => setRaw(!raw)}>${raw ? T.oneByOne : T.asJson}</button></div>
    ${value && (raw ? html`<${Raw} config=${value.config} again=${loaded.again} />`
      : keys.map(key => html`<${Setting} key=${key} name=${key} about=${value.meaning[key]} value=${looked(value.config, key)} again=${loaded.again} />`))}`
}

const withCode = text => text.split('`').map((part, at) => at % 2 ? html`<code>${part}</code>` : part)

function Setting ({ name, about, value, again }) {
  const was = value === undefined ? '' : JSON.stringify(value)
  const [text, setText] = useState(was)
  const [error, setError] = useState(null)
  const save = async () => {
    try {
      let json = text.trim()
      if (!json) await unset(name)
      else {
        try { JSON.parse(json) } catch { json = JSON.stringify(json) } // a plain text needs no quotes
        await call('config', { arg: [name, json], json: true })
      }
      setError(null)
      say(T.saved(name))
      again()
    } catch (problem) { setError(problem) }
  }
  const id = `set-${name}`
  return html`<div class="card"><label for=${id}><b class="mono">${name}</b></label><p id=${`${id}-about`}>${withCode(about.Meaning)} <span class="hint">${T.takes(about.Takes)}</span></p>
    <div class="copy"><input id=${id} class="mono" aria-describedby=${`${id}-about`} value=${text} placeholder=${T.unset} onInput=${event => setText(event.target.value)} spellcheck="false" autocomplete="off" />
      ${text !== was && html`<${Button} class="main" act=${save}>${T.save}<//>`}</div><${Trouble} error=${error} /></div>`
}

/** Takes a key out of the config, so that its default counts. */
async function unset (key) {
  const config = await call('config/show')
  const path = key.split('.')
  const last = path.pop()
  const above = looked(config, path.join('.'))
  if (!above) return
  delete above[last]
  await call('config/replace', {}, { body: form(JSON.stringify(config)) })
}

function Raw ({ config, again }) {
  const [text, setText] = useState(JSON.stringify(config, null, 2))
  const [error, setError] = useState(null)
  const save = async () => {
    try {
      JSON.parse(text)
      await call('config/replace', {}, { body: form(text) })
      setError(null)
      say(T.savedAll)
      again()
    } catch (problem) { setError(problem) }
  }
  return html`<div class="field"><label for="raw">${T.asJson}</label><textarea id="raw" spellcheck="false" value=${text} onInput=${event => setText(event.target.value)}></textarea></div>
    <${Trouble} error=${error} /><${Button} class="main" act=${save}>${T.save}<//>`
}
