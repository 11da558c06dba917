import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintAboutImport, importsOf } from './rooms.ts'

function complaint(file: string, source: string): string | undefined {
  return importsOf(source).flatMap((found) => complaintAboutImport(file, found) ?? [])[0]
}

const allowed: [string, string][] = [
  ['src/core/wire/reader.ts', "import { equalBytes } from '../lib/bytes.ts'"],
  ['src/core/swarm/peer.ts', "import {\n  a,\n  b,\n} from '../content/manifest.ts'"],
  ['src/core/wire/reader.test.ts', "import assert from 'node:assert/strict'"],
  ['src/sim/network.ts', "import { Peer } from '../core/swarm/index.ts'"],
  ['src/agent/store/store.ts', "import { hash } from '@napi-rs/blake-hash'"],
  ['src/cli/send.ts', "import type { Delivery } from '../agent/http/types.ts'"],
  ['src/cli/agent.ts', "const { main } = await import('../agent/main.ts')"],
]

const refused: [string, string][] = [
  ['src/core/lib/bytes.ts', "import { Reader } from '../wire/reader.ts'"],
  ['src/core/wire/reader.ts', "export * from '../content/manifest.ts'"],
  ['src/core/gossip/member.ts', "import type { Frame } from '../swarm/frames.ts'"],
  ['src/core/swarm/peer.ts', "import { Session } from '../multicast/session.ts'"],
  ['src/core/swarm/peer.ts', "import { readFile } from 'node:fs/promises'"],
  ['src/core/swarm/peer.ts', "import '../../agent/config/config.ts'"],
  ['src/sim/network.ts', "import { Store } from '../agent/store/store.ts'"],
  ['src/agent/http/server.ts', "import { main } from '../../cli/main.ts'"],
  ['src/agent/http/server.ts', "import { createServer } from 'http'"],
  ['src/agent/http/server.ts', "import { ERRORS } from '#src/agent/errors.js'"],
  ['src/cli/send.ts', "import { startAgent } from '../agent/main.ts'"],
  ['src/cli/send.ts', "import type { Peer } from '../core/swarm/index.ts'"],
]

for (const [file, source] of allowed) {
  test(`${file} may: ${source}`, () => assert.equal(complaint(file, source), undefined))
}

for (const [file, source] of refused) {
  test(`${file} may not: ${source}`, () => assert.match(complaint(file, source) ?? 'no complaint', new RegExp(`^${file} imports`)))
}

test('an import in the middle of a file is found', () => {
  assert.deepEqual(importsOf("const a = 1\nimport { b } from './b.ts'\n"), [{ specifier: './b.ts', isType: false, isDynamic: false }])
})
