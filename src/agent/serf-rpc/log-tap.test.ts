import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger, roomLogger } from '../log.ts'
import { LogRing, serfLevel } from './log-tap.ts'

const now = (): Date => new Date(2026, 10, 22, 9, 7, 50)

test('lines of the logger are told as Serf writes them', () => {
  const ring = new LogRing(now)
  const log = createLogger({ level: 'debug', format: 'json', node: 'n1', destination: { write: (line) => ring.onJson(line) } })
  roomLogger(log, 'gossip').warn({ member: 'n2', count: 3 }, 'a member is silent')
  log.fatal('over')
  log.trace('not logged')
  const lines: string[] = []
  ring.listen('TRACE', (line) => lines.push(line))
  assert.deepEqual(lines, [
    '2026/11/22 09:07:50 [WARN] gossip: a member is silent member=n2 count=3',
    '2026/11/22 09:07:50 [ERR] agent: over',
  ])
})

test('who listens late gets the last lines, of the level asked for', () => {
  const ring = new LogRing(now)
  for (let i = 0; i < 600; i++) ring.onLine(i % 2 === 0 ? 'info' : 'debug', `line ${i}`)
  const lines: string[] = []
  const end = ring.listen('INFO', (line) => lines.push(line))
  assert.equal(lines.length, 256)
  assert.match(lines[0]!, /\[INFO\] line 88$/)
  ring.onLine('debug', 'no')
  ring.onLine('error', 'yes')
  assert.match(lines.at(-1)!, /\[ERR\] yes$/)
  end()
  ring.onLine('error', 'unheard')
  assert.equal(lines.length, 257)
})

test('levels are those of Serf', () => {
  assert.deepEqual(['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERR', 'ERROR', 'info', ''].map(serfLevel), [
    'TRACE',
    'DEBUG',
    'INFO',
    'WARN',
    'ERR',
    undefined,
    undefined,
    undefined,
  ])
})
