#!/usr/bin/env node
// The entry of every npm script: `node tools/run.mjs test|demo|build|lint|format|docs|bench [arguments]`.
//
// It does the set-up that the command needs on a machine that has only Node and npm (dependencies as the lock file says, Debian
// packages for the tests, the build) and hands over to what was built. It is plain JavaScript without a dependency because it
// runs before there is a compiler. The checks themselves are in tools/checks/.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const TESTBED = path.resolve(ROOT, '../shared/testbed/testbed')
const MINIMUM_NODE = { major: 20, minor: 20 }

/** Commands of programs that tests get along with, and the Debian packages that bring them, with services. */
const PEER_COMMANDS = {
  serf: 'serf',
  smcrouted: 'smcroute',
  'avahi-daemon': 'avahi-daemon',
  'avahi-browse': 'avahi-utils',
  'avahi-publish': 'avahi-utils',
  'dbus-daemon': 'dbus-daemon',
}
/** Commands of the testbed. */
const TESTBED_COMMANDS = { ip: 'iproute2', tc: 'iproute2', nft: 'nftables', nsenter: 'util-linux', ping: 'iputils-ping' }

const COMMANDS = {
  test: { help: 'all checks; `-- PART …` only these parts, `--files TEXT` only test files with TEXT in their path', run: test },
  demo: { help: 'one seed and 8 agents on this machine, and a file delivered to them; `-- PATH|URL` to choose the file', run: demo },
  build: { help: 'compile everything into dist/', run: () => build().status },
  lint: { help: 'formatting, lint rules and the direction of imports', run: (args) => runChecks(['format', 'lint', 'rooms', ...args]) },
  format: { help: 'format the sources in place; `-- PATH …` only these', run: (args) => tool('oxfmt/bin/oxfmt', args) },
  docs: { help: 'write anew what is generated: the pages of docs/reference, the kernel of multicast', run: docs },
  bench: { help: 'the questions in bench/; `-- QUESTION [arguments]` measures one', run: bench },
}

/**
 * Runs a command to its end with this terminal.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {number} the exit code; 128 and more after a signal
 */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
  if (error) complain(`cannot run ${command}: ${error.message}`)
  return status ?? 128
}

/** @param {string} script path below node_modules @param {readonly string[]} args @returns {number} exit code */
function tool(script, args) {
  return run(process.execPath, [path.join(ROOT, 'node_modules', script), ...args])
}

/** @param {string} text */
function complain(text) {
  process.stderr.write(`polycast: ${text}\n`)
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > MINIMUM_NODE.major || (major === MINIMUM_NODE.major && minor >= MINIMUM_NODE.minor)) return
  complain(
    `this is Node ${process.versions.node}; ${MINIMUM_NODE.major}.${MINIMUM_NODE.minor} or newer is needed. Install it and run the command again.`,
  )
  process.exit(1)
}

/** @returns {string | undefined} why node_modules is not what package-lock.json says, or undefined when it is */
function dependenciesMissing() {
  const installedFile = path.join(ROOT, 'node_modules/.package-lock.json')
  if (!existsSync(installedFile)) return 'node_modules is missing'
  const wanted = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === '') continue
    const found = installed[name]
    if (found === undefined && entry.optional) continue
    if (found?.version !== entry.version) return `${name} is ${found?.version ?? 'missing'}, the lock file says ${entry.version}`
    if (!existsSync(path.join(ROOT, name))) return `${name} is missing`
  }
  return undefined
}

function installDependencies() {
  const reason = dependenciesMissing()
  if (reason === undefined) return
  process.stdout.write(`set-up: npm ci (${reason})\n`)
  if (run('npm', ['ci', '--no-audit', '--no-fund']) === 0) return
  complain('npm ci failed (see above). The npm registry must be reachable for the first run; then run the command again.')
  process.exit(1)
}

/**
 * Installs what tests need, where that can be done: on Debian, as root; what the testbed needs, if it is beside the project. A package
 * with a service is installed only where nothing starts services (containers say so with policy-rc.d): nobody who runs tests asked for one.
 */
function installDebianPackages() {
  if (process.getuid?.() !== 0 || !isCommand('apt-get')) return
  const mayHaveServices = existsSync('/usr/sbin/policy-rc.d')
  const wanted = { ...(mayHaveServices ? PEER_COMMANDS : {}), ...(existsSync(TESTBED) ? TESTBED_COMMANDS : {}) }
  const missing = new Set(Object.entries(wanted).flatMap(([command, name]) => (isCommand(command) ? [] : [name])))
  if (missing.size === 0) return
  process.stdout.write(`set-up: apt-get install ${[...missing].join(' ')}\n`)
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...missing]]) {
    const { status, stderr } = spawnSync('apt-get', ['-qq', ...args], {
      env: environment,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    if (status === 0) continue
    complain(`apt-get ${args[0]} failed; tests that need these packages will be skipped: ${stderr.trim()}`)
    return
  }
}

/** @param {string} name */
function isCommand(name) {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(path.join(folder, name)))
}

/** @returns {{status: number, ms: number}} */
function build() {
  const startedAt = performance.now()
  const status = tool('typescript/bin/tsc', ['-b'])
  return { status, ms: performance.now() - startedAt }
}

/** Builds, and goes on only when that worked. */
function requireBuild() {
  if (build().status === 0) return
  complain('the build failed (see above).')
  process.exit(1)
}

/** @param {readonly string[]} args */
function test(args) {
  installDebianPackages()
  return runChecks(args)
}

/** @param {readonly string[]} args @returns {Promise<number>} exit code */
async function runChecks(args) {
  const types = build()
  const main = path.join(ROOT, 'dist/tools/checks/main.js')
  if (!existsSync(main)) {
    complain('the checks themselves could not be built (see above): NOTHING ELSE RAN')
    process.stdout.write('0 passed, 1 failed, 0 skipped\n')
    return 1
  }
  const checks = await import(pathToFileURL(main).href)
  return checks.runChecks({ root: ROOT, testbed: TESTBED, args, types })
}

/**
 * Waits for the demonstration to clean up after itself whatever signal comes.
 * @param {readonly string[]} args
 * @returns {Promise<number>} exit code
 */
function demo(args) {
  requireBuild()
  const child = spawn(process.execPath, [path.join(ROOT, 'dist/tools/demo.js'), ...args], { cwd: ROOT, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(code ?? 128))
  })
}

/** @param {readonly string[]} args */
function docs(args) {
  requireBuild()
  const statuses = ['docs', 'kernel'].map((name) => run(process.execPath, [path.join(ROOT, `dist/tools/${name}.js`), ...args]))
  return Math.max(...statuses)
}

/** @param {readonly string[]} args */
function bench(args) {
  const folder = path.join(ROOT, 'bench')
  const questions = readdirSync(folder).filter((name) => isFile(path.join(folder, name, 'run')))
  const [question, ...rest] = args
  if (question === undefined || !questions.includes(question)) {
    if (question !== undefined) complain(`bench/${question}/run does not exist`)
    process.stdout.write(`Usage: npm run bench -- QUESTION [arguments]\n${questions.map((name) => `  ${name}\n`).join('')}`)
    return question === undefined ? 0 : 2
  }
  requireBuild()
  return run(path.join(folder, question, 'run'), rest)
}

/** @param {string} file */
function isFile(file) {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false
}

async function main() {
  const [name, ...args] = process.argv.slice(2)
  const command = Object.entries(COMMANDS).find(([key]) => key === name)?.[1]
  if (command === undefined) {
    const lines = Object.entries(COMMANDS).map(([key, { help }]) => `  ${key.padEnd(8)}${help}`)
    process.stdout.write(`Usage: npm run COMMAND [-- arguments]\n${lines.join('\n')}\n`)
    process.exitCode = name === undefined ? 0 : 2
    return
  }
  requireNode()
  installDependencies()
  process.exitCode = await command.run(args)
}

await main()
