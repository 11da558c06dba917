/** `polycast sim` as a process of its own; it needs no agent. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const MAIN = join(import.meta.dirname, 'main.js')

function sim(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'sim', ...args], { encoding: 'utf8' })
  return { code: status, stdout, stderr }
}

test('sim prints a table, or JSON, and draws a chart', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'polycast-sim-'))
  t.after(() => rm(folder, { recursive: true }))
  const svg = join(folder, 'chart.svg')
  const table = sim('--nodes', '8,4', '--loss', '0,10%', '--idle', '5s', '--svg', svg)
  assert.equal(table.code, 0, table.stderr)
  assert.match(table.stdout, /^NODES {2}LOSS .*\n +4 +0 % .*\n +8 +0 % .*\n +4 +10 % .*\n +8 +10 % .*\n\nCRASH: /)
  assert.match(await readFile(svg, 'utf8'), /^<svg [^]*<\/svg>\n$/)
  const json = JSON.parse(sim('--nodes', '4', '--idle', '5s', '--json').stdout) as { clusters: { nodes: number }[] }
  assert.deepEqual(
    json.clusters.map(({ nodes }) => nodes),
    [4],
  )
})

test('sim says what is wrong with a value', () => {
  for (const [args, wanted] of [
    [['--nodes', '2'], /--nodes 2: write numbers from 3 to 10000/],
    [['--nodes', '4,x'], /--nodes 4,x: write numbers/],
    [['--loss', '95%'], /--loss 95%: write shares up to 90 %/],
    [['--profile', 'moon'], /--profile moon: lan, wan, local or serf/],
    [['--idle', '2h'], /--idle 2h: from 1s to 1h/],
  ] as const) {
    const { code, stderr } = sim(...args)
    assert.equal(code, 2)
    assert.match(stderr, wanted)
  }
})
