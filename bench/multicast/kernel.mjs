/**
 * How fast the erasure code and the packets' authenticator are on one core. Prints one JSON line per row and a table. README.md beside
 * this file.
 *
 *   node bench/multicast/kernel.mjs [--symbol-bytes 1408] [--runs 15] [--run-ms 40] [--plain]
 *
 * Each figure is the best of many short runs: other work on the machine only ever makes a run slower.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { loadKernel } = await import(fileURLToPath(new URL('../../dist/core/multicast/index.js', import.meta.url)))

const { values } = parseArgs({
  options: {
    'symbol-bytes': { type: 'string', default: '1408' },
    runs: { type: 'string', default: '15' },
    'run-ms': { type: 'string', default: '40' },
    plain: { type: 'boolean', default: false },
  },
})
const symbolBytes = Number(values['symbol-bytes'])
const kernel = values.plain
  ? loadKernel(() => {
      throw new Error('not wanted')
    })
  : loadKernel()

const SHAPES = [
  [32, 4],
  [64, 8],
  [200, 1],
  [200, 4],
  [200, 10],
  [200, 30],
]

const rows = []
for (const [k, count] of SHAPES) {
  const source = bytesOf(k * symbolBytes)
  const parity = new Uint8Array(count * symbolBytes)
  const parityRows = Array.from({ length: count }, (_, i) => i)
  const missing = parityRows.map((i) => Math.floor(((i + 0.5) * k) / count))
  const encode = best(() => kernel.code.encode(source, k, symbolBytes, 0, count, parity))
  const received = source.slice()
  const decode = best(() => kernel.code.decode(received, k, symbolBytes, missing, parity, parityRows))
  if (Buffer.compare(received, source) !== 0) throw new Error(`${k}+${count} was not restored`)
  print({
    what: `${k}+${count}`,
    encode_mb_per_s: rate(source.length, encode),
    decode_mb_per_s: rate(source.length, decode),
    encode_us: encode / 1e3,
    decode_us: decode / 1e3,
  })
}
for (const length of [64, 1424, 8960]) {
  const key = bytesOf(16)
  const message = bytesOf(length)
  const ns = best(() => kernel.sipHash(key, message))
  print({ what: `siphash ${length}`, hash_mb_per_s: rate(length, ns), packets_per_s: Math.round(1e9 / ns) })
}
console.table(Object.fromEntries(rows.map(({ what, ...row }) => [what, row])))

function print(row) {
  const rounded = Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, typeof value === 'number' ? Math.round(value * 10) / 10 : value]),
  )
  rows.push(rounded)
  console.log(JSON.stringify({ kernel: kernel.kind, symbol_bytes: symbolBytes, node: process.version, ...rounded }))
}

/** Nanoseconds of one call in the best run. */
function best(call) {
  for (let i = 0; i < 50; i++) call()
  let least = Infinity
  for (let run = 0; run < Number(values.runs); run++) {
    let calls = 0
    let ns = 0
    const startedAt = performance.now()
    do {
      for (let i = 0; i < 10; i++) call()
      calls += 10
      ns = (performance.now() - startedAt) * 1e6
    } while (ns < Number(values['run-ms']) * 1e6)
    least = Math.min(least, ns / calls)
  }
  return least
}

/** Millions of bytes per second. */
function rate(bytes, ns) {
  return Math.round((bytes / ns) * 1e3)
}

function bytesOf(length) {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = Math.imul(i + 1, 2654435761) >>> 13
  return bytes
}
