// Every word of the page, in English. A translation is a file with the same names.
const plural = (count, one, many) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`

export const T = {
  rooms: { files: 'Files', get: 'Get', pins: 'Pins', names: 'Names', explore: 'Explore', peers: 'Network', jobs: 'Jobs', settings: 'Settings', status: 'Status' },
  menu: 'Rooms', skip: 'Skip to the content', close: 'Close', copy: 'Copy', copied: 'Copied', cancel: 'Cancel', stop: 'Stop', save: 'Save', undo: 'Undo', again: 'Try again',
  lost: 'The node does not answer. This page goes on when it is back.', offline: 'Offline', noAnswer: 'The node does not answer.', noReason: 'The node gave no reason.', cutOff: 'The node broke off its answer.',
  peers: count => plural(count, 'peer', 'peers'), attention: count => plural(count, 'thing needs attention', 'things need attention'),
  seconds: count => plural(count, 'second', 'seconds'), minutes: count => plural(count, 'minute', 'minutes'), hours: count => plural(count, 'hour', 'hours'),
  count: count => plural(count, 'entry', 'entries'), countSoFar: count => `${plural(count, 'entry', 'entries')} so far, more as you scroll.`,
  files: count => plural(count, 'file', 'files'), blocks: count => plural(count, 'block', 'blocks'),

  addFiles: 'Add files', addFolder: 'Add folder', newFolder: 'New folder', name: 'Name', make: 'Make', filter: 'Filter by name', entries: 'Entries',
  nothingYet: 'Nothing here yet', emptyFolder: 'This folder is empty', dropHere: 'Drag files and folders here, or use the buttons above.', dropNow: 'Drop to add here',
  unsorted: 'Large folders are shown in the order in which they are stored.', badName: 'A name has no slash, and is not a dot.', actions: name => `Actions for ${name}`,
  share: 'Share', download: 'Download', downloadTar: 'Download as TAR', downloadCar: 'Download as CAR', openIt: 'Open', noGateway: 'Downloads and previews need a gateway that this browser reaches: see Addresses.Gateway.',
  pin: 'Pin', rename: 'Rename', move: 'Move', moveTo: 'Folder to move it to', remove: 'Remove', renamed: 'Renamed', moved: where => `Moved to ${where}`,
  choose: name => `Choose ${name}`, chosen: count => `${count.toLocaleString('en')} chosen`, chooseNone: 'Choose none', removedMany: count => `Removed ${plural(count, 'entry', 'entries')}`,
  removed: name => `Removed ${name}`, pinned: name => `Pinned ${name}`, andMore: bytes => `${bytes} bytes more`,

  lookedAt: count => `Looking at what was dropped: ${plural(count, 'file', 'files')} so far`,
  titleOfMany: (first, more) => `${first} and ${more} more`, jobTitle: title => `Upload of ${title}`, uploadOf: title => `Upload of ${title}`, notRead: path => `${path} cannot be read: it was changed or removed. Add it again.`, notStored: name => `The node did not store ${name}; Jobs may say why.`,
  cancelled: title => `Cancelled: ${title}`, uploaded: count => `Stored ${plural(count, 'file', 'files')}`, waiting: 'The node does not answer; the upload goes on when it is back.',
  storing: 'Sent; the node is storing the rest', left: time => `${time} left`, wentOn: bytes => `${bytes} were there already`,

  brokeOff: (title, bytes) => `The upload of ${title} broke off after ${bytes}. Add the same files again, and only the rest is sent.`, discard: 'Discard',

  shareOf: name => `Share ${name}`, shareNeedsPin: 'It is not pinned. Only what is pinned is announced, so that others can find it, and kept for sure.', pinAndAnnounce: 'Pin and announce',
  linkForAll: 'Link for any browser, through a public gateway', linkForIpfs: 'Link for programs that speak IPFS', openHere: 'Open it through the gateway on this computer', qr: 'QR code of the link for any browser',
  canOthers: 'Can others open it now?', stored: 'Stored here', announced: 'Announced', reachable: 'Reachable by others', looking: 'Looking…',
  marks: { yes: 'yes', no: 'no', maybe: 'not known', none: 'looking' },

  keepAt: 'Keep it elsewhere, too', keep: 'Keep it there', keepAtOf: service => `Keep it at ${service}`, leave: 'No longer', leaveOf: service => `No longer keep it at ${service}`,
  keptAt: { looking: 'Looking…', none: 'does not keep it', queued: 'has it in its queue', pinning: 'fetches it from here', pinned: 'keeps it', failed: 'could not fetch it' },

  whatToGet: 'CID, path, ipfs:// link, gateway link or domain', find: 'Find', getHint: 'Content is fetched from whoever has it, and each block is checked.', notContent: 'This names no content: give a CID, a path such as /ipfs/CID, an ipfs:// link, a link of a gateway, or a domain.',
  searching: path => `Looking for ${path}`, stopped: 'Stopped.', aFolder: 'Folder', aFile: 'File', pinIt: 'Fetch all and pin', addToFiles: 'Add to files', pathInFiles: 'Path in the files', addedToFiles: path => `Added to the files as ${path}`,
  why: 'Why is it so?', notPinned: 'It could not be fetched as a whole.', from: 'from', wasHere: count => `${plural(count, 'block was', 'blocks were')} here`,
  stages: { local: 'Looking in the store', finding: 'Searching for nodes that have it', dialling: 'Connecting', asking: 'Asking', receiving: 'Receiving', stalled: 'Waiting for an answer', done: 'Done' },
  facts: { Stored: 'Stored', Pinned: 'Pinned', Announcement: 'Announced', Standing: 'This node', Fetch: 'Being fetched', Peer: 'Peer', Router: 'Router', Provider: 'Provider' },

  addPin: 'Add a pin', searchPins: 'Search by name', noPins: 'Nothing is pinned', noSuchPin: 'No pin has such a name', pinsHint: 'What is pinned is kept here and announced to others.',
  unpin: 'Unpin', unpinOf: name => `Unpin ${name}`, unpinned: name => `Unpinned ${name}`, expires: when => `until ${when}`, nameOptional: 'Name (optional)', daysOptional: 'Days to keep it (empty: until you unpin it)',
  daysAreNumbers: 'Days are a whole number.', queued: 'The node fetches it in the background.', pinBackground: 'The node fetches it in the background, and tries again by itself.', nextTry: when => `next try ${when}`,
  pinStates: { queued: 'Waiting', pinning: 'Being fetched', failed: 'Failed' },

  allWell: 'Nothing needs attention.', now: 'Now', details: 'Details', peersConnected: count => count === 1 ? 'peer connected' : 'peers connected', pinsKept: count => count === 1 ? 'pin' : 'pins', blocksStored: count => count === 1 ? 'block stored' : 'blocks stored', ofSpace: most => `of ${most} used`, incoming: 'coming in', outgoing: 'going out',
  collect: 'Free space', collectHint: 'Removes from this computer what neither a pin nor the files need, but for what was changed in the last seconds. There is no undo.', collectNow: 'Remove it', freed: (bytes, count) => `Freed ${bytes}, removed ${plural(count, 'block', 'blocks')}`, notCollected: 'The node did not finish it; Jobs may say why.',
  peerId: 'Peer ID', version: 'Version', listening: 'Listens on', nowhere: 'nowhere', reachableAt: 'Others reached it at', notKnown: 'not known yet', gatewayAt: 'Gateway', off: 'off', repository: 'Repository', announcedKeys: 'Announced',
  announcedOf: one => `${one.Done.toLocaleString('en')} of ${one.Keys.toLocaleString('en')} keys, ${one.Late.toLocaleString('en')} late`, nothingAnnounced: 'nothing',
  budgets: 'Budgets', budgetsHint: 'What others may use of this computer is bounded.', budget: 'Budget', used: 'Used', most: 'At most', noLimit: 'no limit',

  enterFirst: 'Open the page of the node first, in a terminal with: cidery ui', lookingForOfficial: cid => `Looking for ${cid} …`,
  noOfficial: cid => `The node neither has the official page nor finds it: /ipfs/${cid}`,

  totalIn: 'came in since the start', totalOut: 'went out since the start', sparkHint: 'Red: coming in. Blue: going out. The last five minutes, while this room is open.', spark: most => `Bandwidth, at most ${most} a second`,
  dayHint: (came, went, minutes, most) => `The last day, until now: ${came} came in (up), ${went} went out (down). A bar is ${minutes} minutes, the longest ${most}.`, day: (most, minutes) => `Bandwidth of the last day, at most ${most} in ${minutes} minutes`,
  connectTo: 'Connect to a peer', connect: 'Connect', connected: 'Connected', addressHint: 'Address that ends in /p2p/PEER', peer: 'Peer', address: 'Address', software: 'Software', roundTrip: 'Round trip', direction: 'Dialled by', inbound: 'it', outbound: 'us', cameIn: 'Came in', wentOut: 'Went out',
  noPeers: 'Nobody is connected. Peers come by themselves as long as Bootstrap names some, or connect to one you know.', transports: { quic: 'by QUIC', tcp: 'by TCP', ws: 'by WebSocket', relay: 'through a relay' },
  dht: 'The DHT', dhtHint: 'Where content and peers are looked up. Who serves it answers the questions of others.', network: 'Network', role: 'This node', known: 'Peers it knows', estimated: 'Peers in all, estimated',
  networks: { wan: 'the Internet', lan: 'local networks' }, roles: { server: 'serves it', client: 'asks only' },
  disconnect: 'Disconnect', disconnectOf: peer => `Disconnect ${peer}`,

  cidOrPath: 'CID or path', show: 'Show', exploreHint: 'Shows any node, whatever its codec, and what a CID is made of.', links: count => plural(count, 'link', 'links'), linksTitle: 'Links', asContent: 'as content', theCid: 'The CID', sizeBelow: 'Size with all below', node: 'The node', block: 'The block', andMoreLinks: count => `${count.toLocaleString('en')} more`,

  namesHint: 'A name belongs to a key and can point to something else tomorrow. The node publishes it again as long as it runs.', ownNames: 'Your names', newKey: 'New key', selfKey: 'self (this node)', publish: 'Publish', pointsTo: 'Points to', pointsNowhere: 'Points to nothing yet',
  publishUnder: name => `Publish under ${name}`, whatToPublish: 'CID, path, or a folder of your files such as /site', published: 'Published', followed: 'Names of others', follow: 'Follow a name', nameToFollow: 'Name (k51…)', unfollow: 'Unfollow', followedHint: 'A name that is followed is kept alive by this node, too.',
  domain: 'Use a domain', yourDomain: 'Your domain', domainHint: 'Where your domain is kept, make a TXT record:', recordName: 'Name of the record', recordText: 'Its text', checkDomain: 'Check', domainRight: 'The domain points to this name.', domainOther: path => `The domain points to ${path}.`,
  removeKey: name => `Remove the key ${name}?`, removeKeyHint: 'Nobody can publish under this name again, you neither. There is no undo.', removeForEver: 'Remove for ever', keyRemoved: name => `Removed the key ${name}`,

  noJobs: 'No long operation', jobsHint: 'Uploads, downloads, pins and collections are listed here while they run, and for some days after.', jobKinds: { add: 'Add', gc: 'Collection', get: 'Get', import: 'Import', pin: 'Pin' },
  jobStates: { queued: 'Waiting', running: 'Running', interrupted: 'Broke off', done: 'Done', failed: 'Failed' }, resumed: 'Resumed', forget: 'Forget', forgetJob: id => `Forget job ${id}`, forgotten: 'Forgotten', jobCancelled: 'Cancelled', goOn: 'add the same files again to go on',

  settingsHint: 'A running node takes every change at its next start. An empty field stands for what is usual. The private key is neither shown nor changed here.', searchSettings: 'Search settings', asJson: 'All as JSON', oneByOne: 'One by one', takes: what => `Takes ${what}.`, unset: 'not set',
  saved: name => `Saved ${name}; it counts from the next start on`, savedAll: 'Saved; it counts from the next start on'
}
