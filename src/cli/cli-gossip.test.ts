/** The commands of the cluster as processes of their own, against the API of a node with a fake of gossip. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'

const { TestApi } = await import('../agent/http/test-api.ts')
const { until } = await import('../agent/deliveries/test-time.ts')
const { fail } = await import('../agent/errors.ts')
const { jsonLines, run, start } = await import('./test-cli.ts')

const AT = 1_700_000_000_000

test('members in detail, and one with the evidence', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  assert.match((await run(api, 'members', '--detailed')).stdout, /^n2 +alive +polycast .* 1\.25 ms +\d{4}-.* role=web$/m)
  const rest = { incarnation: 1, at: AT, accusers: [], grounds: undefined, timeoutMs: undefined, probe: undefined }
  api.gossip.verdicts.set('n2', { about: 'n2', state: 'suspect', from: 'n3', source: 'packet', ...rest })
  api.bed.cluster.setStatus('n2', 'suspect')
  const shown = await run(api, 'members', 'show', 'n2')
  assert.match(shown.stdout, /^n2: suspect since .*\n {2}suspect by the word of n3 at /, shown.stderr)
  const json = JSON.parse((await run(api, 'members', 'show', 'n2', '--json')).stdout) as { verdict: { from: string } }
  assert.equal(json.verdict.from, 'n3')
  const unknown = await run(api, 'members', 'show', 'n9')
  assert.equal(unknown.code, 1)
  assert.match(unknown.stderr, /There is no member n9/)
})

test('join, forget, tags, rtt, leave', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  assert.equal((await run(api, 'join', '10.0.0.1', 'b:7946')).stdout, '2 of 2 answered\n')
  assert.equal((await run(api, 'join', 'nobody:1')).code, 1)
  assert.equal((await run(api, 'forget', 'n2', '--prune')).stdout, 'n2 is forgotten\n')
  assert.deepEqual(api.gossip.forgotten, [{ name: 'n2', isPrune: true }])

  assert.equal((await run(api, 'tags')).stdout, 'role=web\n')
  const changed = await run(api, 'tags', '--set', 'zone=eu', '--set', 'rack=1', '--delete', 'role')
  assert.equal(changed.stdout, 'zone=eu\nrack=1\n', changed.stderr)
  assert.equal((await run(api, 'tags', '--set', 'zone')).code, 2)

  assert.equal((await run(api, 'rtt', 'n2')).code, 1)
  api.gossip.coordinates.set('n1', { vector: [0], height: 0.001, error: 1, adjustment: 0 })
  api.gossip.coordinates.set('n2', { vector: [0.003], height: 0.001, error: 1, adjustment: 0 })
  assert.equal((await run(api, 'rtt', 'n2')).stdout, 'n1 to n2: about 5.00 ms\n')
  assert.equal((await run(api, 'rtt', 'n2', 'n1', '--json')).stdout, '{"from":"n2","to":"n1","rttMs":5}\n')

  assert.equal((await run(api, 'leave')).code, 0)
  await until(() => api.leaves === 1)
})

test('event says who misses it', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'n3'])
  const heard: string[] = []
  api.gossip.onEvent(({ name, payload, canCoalesce }) => heard.push(`${name} ${Buffer.from(payload).toString('hex')} ${canCoalesce}`))
  assert.equal((await run(api, 'event', 'deploy', 'v2', '--coalesce')).stdout, 'deploy is sent\n')
  const piped = start(api, ['event', 'bin', '-', '--report'])
  piped.child.stdin?.end(Uint8Array.of(0xff, 0))
  assert.deepEqual(await piped.result, { code: 0, stdout: '3 of 3 have bin\n', stderr: '' })
  assert.deepEqual(heard, ['deploy 7632 true', 'bin ff00 false'])
  api.gossip.missing = ['n2', 'n3']
  const partial = await run(api, 'event', 'deploy', '--report')
  assert.deepEqual([partial.code, partial.stdout], [3, '1 of 3 have deploy; missing: n2, n3\n'])
  const long = await run(api, 'event', 'deploy', 'x'.repeat(600))
  assert.equal(long.code, 2)
  assert.match(long.stderr, /600 bytes, and 512 is the most/)
  // As much as an event may have goes through; how much that is, the agent says.
  const large = start(api, ['event', 'deploy', '-'])
  large.child.stdin?.end(Buffer.alloc(2 * 1024 * 1024))
  assert.match((await large.result).stderr, /2097152 bytes, and 512 is the most/)
})

test('query shows answers as they come, and how many there were', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'seed1'])
  api.gossip.answers.set('n2', Buffer.from('one\n\u001btwo\n'))
  const asked = await run(api, 'query', 'load', 'now', '--to', 'role=web', '--timeout', '5', '--relay-factor', '2')
  assert.equal(asked.stdout, 'n1 has it\nn2 has it\nn2: one\nn2: ?two\nacks 2, responses 1 of 2\n', asked.stderr)
  assert.equal(asked.code, 0)
  assert.deepEqual([api.gossip.queries[0]?.options.timeoutMs, api.gossip.queries[0]?.options.relayFactor], [5000, 2])
  assert.equal((await run(api, 'query', 'load', '--no-ack')).stdout, 'n2: one\nn2: ?two\nresponses 1 of 3\n')
  assert.deepEqual(
    jsonLines((await run(api, 'query', 'load', '--to', 'name=n2', '--json')).stdout).map(({ event }) => event),
    ['ack', 'response', 'done'],
  )
  assert.equal((await run(api, 'query', 'load', '--to', 'role')).code, 2)

  api.gossip.queryEnd = new Promise(() => undefined)
  const waiting = start(api, ['query', 'load'])
  await until(() => waiting.stdout().includes('n1 has it'))
  waiting.child.kill('SIGINT')
  assert.equal((await waiting.result).code, 130)
})

test('state is set, shown, watched and removed', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const watching = start(api, ['state', 'watch', 'a', '--count', '2'])
  await until(() => api.gossip.followers === 1)
  assert.equal((await run(api, 'state', 'set', 'a/b', '0.5', '--ttl', '10s')).code, 0)
  const piped = start(api, ['state', 'set', 'raw', '-'])
  piped.child.stdin?.end(Uint8Array.of(0xff, 0))
  assert.equal((await piped.result).code, 0)
  assert.equal((await run(api, 'state', 'get')).stdout, 'KEY  VALUE\na/b  0.5\nraw  base64 /wA=\n')
  assert.equal((await run(api, 'state', 'get', 'n1', 'a/b')).stdout, '0.5')
  const missing = await run(api, 'state', 'get', 'n2', 'a/b')
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /The state of n2 has no key a\/b/)
  assert.equal((await run(api, 'state', 'rm', 'a/b')).code, 0)
  assert.deepEqual(await watching.result, { code: 0, stdout: 'n1 a/b = 0.5\nn1 a/b is removed\n', stderr: '' })
})

test('monitor shows what happens until it is interrupted', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const watching = start(api, ['monitor', '--filter', 'member-failed,user'])
  await until(() => api.gossip.followers === 1)
  api.gossip.tellMember('joined', 'n2')
  api.gossip.tellMember('failed', 'n2')
  await api.gossip.event('deploy', Buffer.from('v2\nnow\n'))
  const error = fail('content-not-found', { id: 'f'.repeat(64), where: 'on any live member' })
  api.gossip.lostEvents.call({ name: 'big', time: 2, from: 'n2', bytes: 1_000_000, error })
  await until(() => watching.stdout().includes('big'))
  watching.child.kill('SIGINT')
  const { code, stdout } = await watching.result
  assert.equal(code, 130)
  assert.match(
    stdout,
    /^[-\d]+ [:\d]+ member-failed n2 127\.0\.0\.2:7946 role=web\n[-\d]+ [:\d]+ user deploy: v2\\nnow\n[-\d]+ [:\d]+ user-lost big from n2: its payload of 1000000 bytes did not come: .*\n$/,
  )
  assert.equal((await run(api, 'monitor', '--filter', 'nothing')).code, 2)
  assert.equal((await run(api, 'monitor', '--count', 'x')).code, 2)
})

test('keys are read from files and standard input, and never said back', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const made = (await run(api, 'keygen')).stdout.trim()
  assert.equal(Buffer.from(made, 'base64').length, 32)
  const file = join(api.bed.directory, 'key')
  await writeFile(file, `# new\n${made}\n`)
  const installed = await run(api, 'keys', 'install', file)
  assert.match(installed.stdout, /^key [0-9a-f]{8} is known to 2 of 2 members\n$/, installed.stderr)
  const piped = start(api, ['keys', 'use', '--json'])
  piped.child.stdin?.end(JSON.stringify([made]))
  assert.equal((await piped.result).code, 0)
  assert.deepEqual(api.gossip.keyCalls, [
    { operation: 'install', key: made },
    { operation: 'use', key: made },
  ])

  const mistaken = await run(api, 'keys', 'remove', made)
  assert.equal(mistaken.code, 2)
  const two = start(api, ['keys', 'remove'])
  two.child.stdin?.end(`${made}\n${made}\n`)
  const refused = await two.result
  assert.match(refused.stderr, /holds 2 keys/)
  for (const result of [installed, await piped.result, mistaken, refused])
    assert.ok(!(result.stdout + result.stderr).includes(made), result.stderr + result.stdout)

  const known = Buffer.alloc(32, 1).toString('base64')
  const listed = await run(api, 'keys', 'list')
  assert.match(listed.stdout, /^72cd6e84 +2 +2\n2 of 2 members answered$/m)
  assert.ok(!listed.stdout.includes(known))
  assert.ok((await run(api, 'keys', 'list', '--reveal')).stdout.includes(known))
  api.gossip.keyErrors = { n2: 'it has no such key' }
  const failed = await run(api, 'keys', 'remove', file)
  assert.equal(failed.code, 3)
  assert.match(failed.stderr, /^n2: it has no such key$/m)
  api.gossip.keyErrors = {}
  api.gossip.keyAbsent = ['n3']
  const partly = await run(api, 'keys', 'remove', file)
  assert.equal(partly.code, 3)
  assert.match(partly.stderr, /^n3: is down, .*run this again once it is back$/m)
})

test('doctor tells what is wrong, and exits with 3 for it', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const well = await run(api, 'doctor')
  assert.deepEqual([well.code, well.stdout.split('\n').at(-2)], [0, 'n1 examined 1: 1 well, 0 not'], well.stderr)
  const lost = { code: 'packets-lost', severity: 'warning', sentence: 'Packets are lost.', evidence: ['3 of 20'], advice: 'Look.' } as const
  api.gossip.findings = [lost]
  assert.equal((await run(api, 'doctor', 'n2')).code, 0)
  api.gossip.findings = [{ ...lost, severity: 'problem' }, lost]
  const ill = await run(api, 'doctor', 'n2')
  assert.equal(ill.code, 3)
  assert.match(ill.stdout, /^n2: problem: Packets are lost\. \[packets-lost\]\n {4}3 of 20\n {2}What to do: Look\.\n {2}warning: /m)
  const json = JSON.parse((await run(api, 'doctor', 'n2', '--json')).stdout) as { examined: { findings: unknown[] }[] }
  assert.equal(json.examined[1]?.findings.length, 2)
})
