// Goes to the official page, which is content like any other: it is here, or the node finds it, or neither. It gets this
// tab's session by the setting that it has for the address of a node.
import { authorization, enter } from './api.js'
import { T } from './texts.js'

const say = text => { document.getElementById('said').textContent = text }
const why = await enter()
if (why) say(`${why.trim()} ${T.enterFirst}`)
else {
  const [cid] = await (await fetch('/webui/official.json')).json()
  say(T.lookingForOfficial(cid))
  const answer = await fetch(`/ipfs/${cid}/index.html`, { method: 'HEAD' })
  if (answer.ok) {
    localStorage.setItem('ipfsApi', JSON.stringify({ url: location.origin, headers: { authorization: authorization() } }))
    location.replace(`/ipfs/${cid}/#/`)
  } else say(T.noOfficial(cid))
}
