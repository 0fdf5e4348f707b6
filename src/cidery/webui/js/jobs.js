// Long operations: what runs, what broke off, what is done.
import { html, Button, Trouble, moment, say, size, usePolled, useState } from './parts.js'
import { all, call } from './api.js'
import { T } from './texts.js'

const POLL_MS = 2500
const MOST = 200

export default function Jobs () {
  const [jobs, setJobs] = useState(null)
  const [error, setError] = useState(null)
  const look = async () => {
    try { setJobs((await all('jobs/ls')).reverse().slice(0, MOST)); setError(null) } catch (problem) { setError(problem) }
  }
  usePolled(look, POLL_MS)
  const act = (path, job, said) => async () => { await all(path, { arg: String(job.ID) }); say(said); await look() }
  return html`<h1>${T.rooms.jobs}</h1><${Trouble} error=${error} />
    ${jobs && !jobs.length && html`<div class="empty"><h2>${T.noJobs}</h2><p>${T.jobsHint}</p></div>`}
    ${jobs?.map(job => html`<div class="card" key=${job.ID}><div class="bar"><span class="grow"><b>${T.jobKinds[job.Kind] ?? job.Kind}</b> ${job.Title}</span>
      ${job.State === 'queued' && html`<${Button} act=${act('jobs/resume', job, T.resumed)}>${T.again}<//>`}
      ${job.State === 'failed' && job.Kind === 'pin' && html`<${Button} act=${act('jobs/resume', job, T.resumed)}>${T.again}<//>`}
      ${job.State !== 'running' && html`<${Button} aria-label=${T.forgetJob(job.ID)} act=${act('jobs/rm', job, T.forgotten)}>${T.forget}<//>`}
      ${job.State === 'running' && html`<${Button} act=${act('jobs/cancel', job, T.jobCancelled)}>${T.cancel}<//>`}</div>
      ${job.State === 'running' && (job.Total ? html`<progress max=${job.Total} value=${job.Bytes} aria-label=${job.Title}></progress>` : html`<progress aria-label=${job.Title}></progress>`)}
      <p class=${job.State === 'failed' ? 'error' : 'hint'}>${T.jobStates[job.State]}${job.Bytes ? ` · ${size(job.Bytes)}` : ''}${job.Files ? ` · ${T.files(job.Files)}` : job.Blocks ? ` · ${T.blocks(job.Blocks)}` : ''} · ${moment(job.Updated)}${job.Error ? ` · ${job.Error}` : ''}${job.State === 'interrupted' && job.Kind === 'add' ? ` · ${T.goOn}` : ''}</p></div>`)}`
}
