import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Command } from 'commander'
import { PolycastError } from '../errors.ts'
import { addOptionFlags, readOptionFlags } from './flags.ts'
import { schemaOf } from './kinds.ts'
import { OPTION_NAMES, environmentName, flagName, optionRow } from './options.ts'
import { printConfig } from './print.ts'
import { resolveConfig } from './resolve.ts'
import type { ErrorCode } from '../errors.ts'
import type { ConfigSources, HostFacts, ResolvedConfig } from './resolve.ts'

const HOST: HostFacts = {
  hostName: 'build-7',
  isRoot: false,
  stateDirectory: '/home/ann/.local/state',
  currentDirectory: '/home/ann',
  interfaceAddresses: ['fd00::7', '10.0.0.7'],
}

function resolve(sources: Partial<ConfigSources> & { yaml?: string } = {}): ResolvedConfig {
  const { yaml, ...rest } = sources
  const file = yaml === undefined ? {} : { file: { path: '/etc/polycast/agent.yaml', text: yaml } }
  return resolveConfig({ environment: {}, flags: {}, host: HOST, ...file, ...rest })
}

function refusal(sources: Partial<ConfigSources> & { yaml?: string }, code: ErrorCode, message: RegExp): PolycastError {
  let caught: unknown
  try {
    resolve(sources)
  } catch (error) {
    caught = error
  }
  assert.ok(caught instanceof PolycastError, 'it was not refused')
  assert.equal(caught.code, code)
  assert.match(caught.message, message)
  assert.equal(caught.exitCode, 2)
  return caught
}

test('every row is whole: unique names, a default that its own schema takes, bounds that fit', () => {
  const rows = OPTION_NAMES.map((name) => optionRow(name))
  for (const names of [rows.map((row) => row.key), rows.map(flagName), rows.map(environmentName)])
    assert.equal(new Set(names).size, names.length)
  for (const row of rows) {
    assert.match(row.key, /^[a-z]+(-[a-z]+)*$/)
    assert.doesNotMatch(row.summary, /\.$/, row.key)
    assert.match(row.doc, /^[^a-z].*\.$|^[a-z]/s, row.key)
    const value = row.default
    if (typeof value === 'object') continue
    // Numbers stand in the table in their base unit.
    const text = row.kind === 'duration' && value !== 0 ? `${value}ms` : String(value)
    assert.ok(schemaOf(row, '/').safeParse(text).success, row.key)
  }
})

test('without any source the defaults hold, computed ones from the machine', () => {
  const { config, origins } = resolve()
  assert.equal(config.name, 'build-7')
  assert.equal(config.dataDirectory, '/home/ann/.local/state/polycast')
  assert.deepEqual(config.destRoots, ['/home/ann/.local/state/polycast/files'])
  assert.deepEqual([config.bind, config.advertise, config.httpBind], ['127.0.0.1', '127.0.0.1', '127.0.0.1'])
  assert.deepEqual([config.gossipPort, config.swarmPort, config.httpPort], [7946, 7947, 7948])
  assert.deepEqual([config.isSeed, config.isInsecure, config.allowHardLinks], [false, false, true])
  assert.deepEqual(config.join, [])
  assert.deepEqual(config.tags, {})
  assert.ok(Object.values(origins).every((origin) => origin.source === 'default'))
  assert.equal(resolve({ host: { ...HOST, isRoot: true } }).config.dataDirectory, '/var/lib/polycast')
  assert.equal(resolve({ host: { ...HOST, hostName: 'Ann’s laptop' } }).config.name, 'Ann-s-laptop')
})

test('a flag wins over the environment, that over the file, that over the default', () => {
  const yaml = 'name: from-file\ngossip-port: 1001\nswarm-port: 1002\n'
  const environment = { POLYCAST_NAME: 'from-environment', POLYCAST_GOSSIP_PORT: '2001', PATH: '/bin' }
  const { config, origins } = resolve({ yaml, environment, flags: { name: 'from-flag' } })
  assert.deepEqual([config.name, config.gossipPort, config.swarmPort, config.httpPort], ['from-flag', 2001, 1002, 7948])
  assert.deepEqual(
    [origins.name.where, origins.gossipPort.where, origins.swarmPort.where, origins.httpPort.where],
    ['--name', 'POLYCAST_GOSSIP_PORT', '/etc/polycast/agent.yaml:3', 'default'],
  )
})

test('every kind of value can be written in the file, the environment and as a flag', () => {
  const expected = {
    tags: { zone: 'eu', rack: '007' },
    join: ['10.0.0.1', '[fd00::1]:7000'],
    quotaBytes: 10 * 1024 ** 3,
    uploadRateBytesPerSec: 6_250_000,
    partialKeepMs: 86_400_000,
    isInsecure: true,
    logFormat: 'text',
    destRoots: ['/srv/a', '/srv/b'],
  }
  const yaml = `
tags: { zone: eu, rack: 007 }
join: [10.0.0.1, "[fd00::1]:7000"]
quota: 10GiB
upload-rate: 50mbit
partial-keep: 1d
insecure: yes
log-format: text
dest-roots:
  - /srv/a
  - ../../srv/b
`
  const environment = {
    POLYCAST_TAGS: 'zone=eu, rack=007',
    POLYCAST_JOIN: '10.0.0.1,[fd00::1]:7000',
    POLYCAST_QUOTA: '10GiB',
    POLYCAST_UPLOAD_RATE: '50mbit',
    POLYCAST_PARTIAL_KEEP: '24h',
    POLYCAST_INSECURE: '1',
    POLYCAST_LOG_FORMAT: 'text',
    POLYCAST_DEST_ROOTS: '/srv/a,/srv/b',
  }
  const command = new Command()
  addOptionFlags(command)
  const words =
    '--tag zone=eu --tag rack=007 --join 10.0.0.1 [fd00::1]:7000 --quota 10GiB --upload-rate 50mbit --partial-keep 1d --insecure --log-format text --dest-root /srv/a --dest-root ../../srv/b'
  command.parse(words.split(' '), { from: 'user' })
  const flags = readOptionFlags(command)
  for (const { config } of [resolve({ yaml }), resolve({ environment }), resolve({ flags })]) {
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(config[name as keyof typeof expected], value, name)
  }
})

test('flags that were not given stay out, and a --no- flag overrides', () => {
  const command = new Command()
  addOptionFlags(command)
  command.parse(['--no-seed'], { from: 'user' })
  const flags = readOptionFlags(command)
  assert.deepEqual(flags, { seed: 'false' })
  assert.equal(resolve({ yaml: 'seed: true', flags }).config.isSeed, false)
})

test('an unknown key is refused, with its place and the nearest known one', () => {
  assert.match(
    refusal({ yaml: 'name: a\nqouta: 1GiB\n' }, 'config-unknown', /qouta.*\/etc\/polycast\/agent\.yaml:2/).advice,
    /Did you mean quota\?/,
  )
  assert.match(
    refusal({ environment: { POLYCAST_GOSIP_PORT: '1' } }, 'config-unknown', /POLYCAST_GOSIP_PORT/).advice,
    /POLYCAST_GOSSIP_PORT/,
  )
  assert.match(refusal({ flags: { swarmport: '1' } }, 'config-unknown', /--swarmport/).advice, /--swarm-port/)
  assert.match(refusal({ yaml: 'kubernetes: 1' }, 'config-unknown', /kubernetes/).advice, /configuration\.md/)
  refusal({ yaml: '__proto__: 1' }, 'config-unknown', /__proto__/)
})

test('variables of the CLI and the links that Kubernetes sets for a service are no options', () => {
  const environment = {
    POLYCAST_API: 'http://127.0.0.1:1',
    POLYCAST_CONFIG: '/x',
    POLYCAST_PORT: 'tcp://10.0.0.1:7946',
    POLYCAST_PORT_7946_TCP_ADDR: '10.0.0.1',
    POLYCAST_SERVICE_HOST: '10.0.0.1',
    POLYCAST_SERVICE_PORT: '7946',
    POLYCAST_SERVICE_PORT_GOSSIP: '7946',
  }
  assert.equal(resolve({ environment }).config.gossipPort, 7946)
})

test('a bad value is refused with the option, the value, the place and what it takes', () => {
  const cases: [string, RegExp][] = [
    ['gossip-port: 70000', /gossip-port cannot be "70000" \(.*:1\): 65535 is the most/],
    ['gossip-port: tcp://10.0.0.1:7946', /takes a port number/],
    ['quota: 10 parsecs', /quota cannot be "10 parsecs".*GiB/],
    ['quota: 1kB', /1MiB is the least, or 0 for none/],
    ['join-retry-max: 1000', /such as 30s/],
    ['join-retry-max: 1ms', /100ms is the least/],
    ['seed: maybe', /true or false/],
    ['log-level: loud', /one of fatal, error/],
    ['bind: localhost', /an IP address/],
    ['name: two words', /letters, digits/],
    ['name: ""', /isn't empty/],
    ['name:', /isn't empty/],
    ['name: [a, b]', /single text/],
    ['join: [":7946"]', /HOST or HOST:PORT/],
    ['join: ["host:99999"]', /HOST or HOST:PORT/],
    ['dest-roots: []', /at least one directory/],
    ['tags: {name: x}', /selectors use it/],
    ['tags: {"a b": x}', /no key of a tag/],
    ['tags: {zone: "a,b"}', /no value of a tag/],
    ['tags: zone', /no equals sign/],
    ['tags: a=1,a=2', /given twice/],
    [`tags: {long: ${'x'.repeat(250)}, longer: ${'y'.repeat(250)}, more: zz}`, /512 is the most/],
    ['seed: true\ntags: {role: web}', /tag role=seed/],
    ['gossip-port: 8000\nswarm-port: 8000', /it is the gossip-port already/],
    ['http-port: 7946', /gossip-port or the swarm-port already/],
    ['http-bind: 0.0.0.0\ninsecure: true', /stays on loopback/],
    ['advertise: 0.0.0.0\ninsecure: true', /one address to connect to/],
  ]
  for (const [yaml, message] of cases) refusal({ yaml }, 'config-invalid', message)
})

test('a file that is not a map of options is refused with its place', () => {
  for (const [yaml, message] of [
    ['- a', /map of options/],
    ['just text', /map of options/],
    ['name: a\nname: b', /line 2: .*unique/],
    ['name: [a', /line 1/],
    ['tags: {a: {b: c}}', /line 1: no option takes lists or maps inside of others/],
    ['? [a]\n: b', /single text/],
  ] as const) {
    refusal({ yaml }, 'config-unreadable', message)
  }
  assert.equal(resolve({ yaml: '' }).config.name, 'build-7')
  assert.equal(resolve({ yaml: '# nothing yet\n' }).config.name, 'build-7')
})

test('an address beyond loopback needs insecure, for bind and for advertise', () => {
  refusal({ flags: { bind: '0.0.0.0' } }, 'not-loopback', /0\.0\.0\.0 \(option bind, --bind\)/)
  refusal({ flags: { bind: '10.0.0.7' } }, 'not-loopback', /10\.0\.0\.7/)
  refusal({ flags: { advertise: '10.0.0.7' } }, 'not-loopback', /option advertise/)
  assert.equal(resolve({ flags: { bind: '127.3.2.1' } }).config.httpBind, '127.3.2.1')
  const open = resolve({ flags: { bind: '0.0.0.0', insecure: 'true' } }).config
  assert.deepEqual([open.advertise, open.httpBind], ['10.0.0.7', '127.0.0.1'])
  assert.equal(resolve({ flags: { bind: '::', insecure: 'true' } }).config.advertise, 'fd00::7')
})

test('the option seed and the tag role=seed are one', () => {
  const bySeed = resolve({ flags: { seed: 'true', tag: ['zone=eu'] } }).config
  assert.deepEqual([bySeed.isSeed, bySeed.tags], [true, { zone: 'eu', role: 'seed' }])
  assert.equal(resolve({ flags: { tag: ['role=seed'] } }).config.isSeed, true)
})

test('the printed configuration says where each value comes from and can be used as a file', () => {
  const yaml = 'quota: 3GiB\ntags: {zone: eu, rack: "007", odd: "#1"}\n'
  const resolved = resolve({
    yaml,
    environment: { POLYCAST_NAME: 'n1' },
    flags: { join: ['10.0.0.1', '[::1]:7'], insecure: 'true', 'download-rate': '50mbit' },
  })
  const printed = printConfig(resolved)
  assert.match(printed, /^# Node\n/)
  assert.match(printed, /^name: n1 +# POLYCAST_NAME$/m)
  assert.match(printed, /^quota: 3GiB +# \/etc\/polycast\/agent\.yaml:1$/m)
  assert.match(printed, /^join: +# --join\n {2}- 10\.0\.0\.1\n/m)
  assert.match(printed, /^http-port: 7948 +# default$/m)
  for (const name of OPTION_NAMES) assert.match(printed, new RegExp(`^${optionRow(name).key}:`, 'm'))
  assert.deepEqual(resolve({ yaml: printed }).config, resolved.config)
})

test('event handlers: from flags, a list or lines; each is checked', () => {
  const handlers = ['member-join,user:deploy=/opt/a, b', '/opt/all']
  assert.deepEqual(resolve({ flags: { 'event-handler': handlers } }).config.eventHandlers, handlers)
  assert.deepEqual(resolve({ environment: { POLYCAST_EVENT_HANDLERS: handlers.join('\n') } }).config.eventHandlers, handlers)
  const resolved = resolve({ yaml: `event-handlers:\n  - ${handlers.join('\n  - ')}\n` })
  assert.deepEqual(resolved.config.eventHandlers, handlers)
  assert.deepEqual(resolve({ yaml: printConfig(resolved) }).config, resolved.config)
  refusal({ flags: { 'event-handler': ['member-joined=/opt/a'] } }, 'config-invalid', /"member-joined" is no kind of event/)
})

test('what may be empty may be emptied again by a higher source', () => {
  const yaml = 'gossip-key-file: keys\nserf-rpc: 127.0.0.1:7373\n'
  const given = resolve({ yaml }).config
  assert.deepEqual([given.encryptKeyFile, given.serfRpc], ['/etc/polycast/keys', '127.0.0.1:7373'])
  const emptied = resolve({ yaml, flags: { 'gossip-key-file': '', 'serf-rpc': '' } }).config
  assert.deepEqual([emptied.encryptKeyFile, emptied.serfRpc], ['', ''])
  refusal({ flags: { 'serf-rpc': '7373' } }, 'config-invalid', /it takes HOST:PORT/)
})

test('variables that an event handler is given are no options', () => {
  const environment = { POLYCAST_EVENT: 'user', POLYCAST_TAG_ROLE: 'web', POLYCAST_USER_LTIME: '7' }
  assert.deepEqual(resolve({ environment }).config, resolve().config)
  refusal({ environment: { POLYCAST_TAGS_ROLE: 'web' } }, 'config-unknown', /POLYCAST_TAGS_ROLE/)
})
