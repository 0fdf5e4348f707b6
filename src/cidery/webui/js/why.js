// What `cidery why` finds out, as it finds it.
import { html, Trouble, sentence, useEffect, useState, verdictLines } from './parts.js'
import { stream } from './api.js'
import { T } from './texts.js'

/** `said`: an error that is shown already, and explains itself if this one meets it, too. */
export function Why ({ path, said = '' }) {
  const [facts, setFacts] = useState([])
  const [verdict, setVerdict] = useState('')
  const [error, setError] = useState(null)
  useEffect(() => {
    const end = new AbortController()
    const read = async () => {
      const seen = new Map()
      for await (const one of stream('why', { arg: path }, { signal: end.signal })) {
        if (one.Type === 'Verdict') setVerdict(one.Text)
        else if (one.Text) seen.set(one.Type + (one.Details.Peer ?? one.Details.Router ?? ''), one)
        setFacts([...seen.values()])
      }
    }
    read().catch(problem => problem.name === 'AbortError' || setError(problem))
    return () => end.abort()
  }, [path])
  if (error?.message === said) return null
  return html`<h2>${T.why}</h2>
    ${verdict ? html`<div class="card" role="status">${verdictLines(verdict).map(line => html`<p>${line}</p>`)}</div>` : !error && html`<p class="hint" role="status">${T.looking}</p>`}
    <${Trouble} error=${error} />
    <div class="scroll"><table><tbody>${facts.map(one => html`<tr><th scope="row">${T.facts[one.Type] ?? one.Type}</th><td>${sentence(one.Text)}</td></tr>`)}</tbody></table></div>`
}
