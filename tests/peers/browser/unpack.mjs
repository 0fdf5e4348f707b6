// Unpacks the Chromium of the npm package @sparticuz/chromium, and the libraries it needs where the system has none:
// node unpack.mjs PACKAGE FOLDER
import { createReadStream, createWriteStream, chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createBrotliDecompress } from 'node:zlib'

const [source, folder] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
for (const [packed, unpacked] of [['chromium.br', 'chromium'], ['al2023.tar.br', 'libraries.tar'], ['fonts.tar.br', 'fonts.tar']]) {
  await pipeline(createReadStream(join(source, 'bin', packed)), createBrotliDecompress(), createWriteStream(join(folder, unpacked)))
}
chmodSync(join(folder, 'chromium'), 0o755)
