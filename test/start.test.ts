/** Agents that can't start: each says why, ends, and leaves nothing that runs. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { Cluster, nextAddress, startCli, until, type CliResult } from './cluster.ts'

/** Runs an agent until it ends by itself; the test fails, and the agent is gone, where it doesn't. */
async function failing(address: string, dataDirectory: string, ...flags: string[]): Promise<CliResult> {
  const agent = startCli('agent', '--name', 'n1', '--bind', address, '--data', dataDirectory, ...flags)
  let result: CliResult | undefined
  void agent.result.then((ended) => (result = ended))
  try {
    await until('an agent that cannot start ends', () => result !== undefined)
  } finally {
    agent.kill('SIGKILL')
  }
  return result!
}

test('a gossip port that is taken', async (t) => {
  const cluster = await Cluster.open(t)
  const address = nextAddress()
  const other = createServer().listen(7946, address)
  await once(other, 'listening')
  t.after(() => other.close())
  const { code, stderr } = await failing(address, path.join(cluster.directory, 'n1'))
  assert.equal(code, 1, stderr)
  assert.ok(stderr.includes(`The address ${address}:7946 for gossip is in use`), stderr)
})

test('a data directory in which gossip can keep nothing', async (t) => {
  const cluster = await Cluster.open(t)
  const directory = path.join(cluster.directory, 'n1')
  await mkdir(directory)
  writeFileSync(path.join(directory, 'gossip'), 'a file where a directory is to be')
  const { code, stderr } = await failing(nextAddress(), directory)
  assert.equal(code, 1, stderr)
  assert.match(stderr, /The data directory .*gossip.* cannot be used/)
})

test('a key file that is not there', async (t) => {
  const cluster = await Cluster.open(t)
  const keyFile = path.join(cluster.directory, 'missing')
  const { code, stderr } = await failing(nextAddress(), path.join(cluster.directory, 'n1'), '--gossip-key-file', keyFile)
  assert.equal(code, 2, stderr)
  assert.ok(stderr.includes(`gossip-key-file cannot be ${keyFile}`) && stderr.includes('it does not exist (ENOENT)'), stderr)
})

test("a port for Serf's tools that is taken", async (t) => {
  const cluster = await Cluster.open(t)
  const address = nextAddress()
  const other = createServer().listen(7373, address)
  await once(other, 'listening')
  t.after(() => other.close())
  const { code, stderr } = await failing(address, path.join(cluster.directory, 'n1'), '--serf-rpc', `${address}:7373`)
  assert.equal(code, 1, stderr)
  assert.ok(stderr.includes(`The address ${address}:7373 for the Serf RPC is in use`), stderr)
})
