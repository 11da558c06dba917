/**
 * Avahi (Debian's packages) on a host of the testbed: another implementation of mDNS, which sees what Polycast announces and announces what
 * Polycast is to see. It has a message bus and a runtime directory of its own, so that it meets nothing of the machine's.
 *
 * Where it is not installed, tests that need it are skipped by `avahiMissing`; `npm test` installs it on Debian as root.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { until } from './cluster.ts'

const COMMANDS = ['avahi-daemon', 'avahi-browse', 'avahi-publish', 'dbus-daemon']
const missing = COMMANDS.filter((name) => !(process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, name))))

/** Why these tests do not run, or false. */
export const avahiMissing: string | false =
  missing.length === 0
    ? false
    : `NOT RUN: ${missing.join(', ')} missing (Debian packages avahi-daemon, avahi-utils, dbus-daemon; npm test installs them as root in containers)`

const COMMAND_LIMIT_MS = 20_000

/** A service as `avahi-browse` prints it. */
export interface SeenService {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly txt: readonly string[]
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class Avahi {
  readonly #bus: string
  readonly log: string[] = []

  private constructor(bus: string) {
    this.#bus = bus
  }

  /** Starts the daemon on a host and waits until it has its name there; it ends with the test. */
  static async start(t: TestContext, directory: string, launcher: readonly string[]): Promise<Avahi> {
    const folder = path.join(directory, 'avahi')
    await mkdir(folder, { recursive: true })
    const socket = path.join(folder, 'bus')
    const avahi = new Avahi(`unix:path=${socket}`)
    await writeFile(
      path.join(folder, 'bus.conf'),
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>\n`,
    )
    await writeFile(
      path.join(folder, 'avahi.conf'),
      '[server]\nhost-name=avahi-host\nuse-ipv4=yes\nuse-ipv6=yes\n[wide-area]\nenable-wide-area=no\n[publish]\npublish-workstation=no\n',
    )
    avahi.#spawn(t, 'dbus-daemon', [`--config-file=${path.join(folder, 'bus.conf')}`, '--nofork', '--nopidfile'])
    await until('a message bus', () => existsSync(socket))
    const run = `mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f '${folder}/avahi.conf'`
    const [command, ...args] = [...launcher, 'unshare', '--mount', 'sh', '-c', run]
    avahi.#spawn(t, command, args)
    await until('avahi has a name', () => avahi.log.some((line) => line.includes('Server startup complete')))
    return avahi
  }

  /** What it sees of a service, resolved, within the second or so that it looks. */
  browse(type: string): Promise<SeenService[]> {
    return new Promise((resolve) => {
      execFile('avahi-browse', ['-rpt', type], { env: this.#environment, timeout: COMMAND_LIMIT_MS }, (_error, stdout) => {
        resolve(stdout.split('\n').flatMap((line) => (line.startsWith('=') ? [seen(line)] : [])))
      })
    })
  }

  /** Announces a service until the test ends. */
  publish(t: TestContext, name: string, type: string, port: number, txt: readonly string[]): void {
    this.#spawn(t, 'avahi-publish', ['-s', name, type, String(port), ...txt])
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: this.#bus }
  }

  #spawn(t: TestContext, command: string, args: readonly string[]): void {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#environment })
    running.add(child)
    const ended = once(child, 'close').finally(() => running.delete(child))
    for (const output of [child.stdout, child.stderr]) createInterface({ input: output }).on('line', (line) => this.log.push(line))
    t.after(async () => {
      child.kill('SIGKILL')
      await ended
    })
  }
}

/** `=;eth0;IPv4;name;_type._tcp;local;host.local;10.0.0.1;7946;"a=b" "c=d"`. */
function seen(line: string): SeenService {
  const [, , , name = '', , , , address = '', port = '', txt = ''] = line.split(';')
  return { name, address, port: Number(port), txt: [...txt.matchAll(/"([^"]*)"/g)].map(([, text]) => text!) }
}
