import assert from 'node:assert/strict'
import test from 'node:test'
import type { Link } from './link.ts'
import { TrackerContact } from './tracker-contact.ts'

/** Which addresses answer now, and what was seen. */
function contactTo(addresses: string[], chance = 0): { contact: TrackerContact; answering: Set<string>; seen: string[] } {
  const answering = new Set<string>()
  const seen: string[] = []
  const contact = new TrackerContact({
    addresses,
    dial: async (address) => {
      seen.push(`dial ${address}`)
      await Promise.resolve()
      if (!answering.has(address)) throw new Error('refused')
      return { name: address } as Link
    },
    onUp: (link) => seen.push(`up ${link.name}`),
    onDown: () => seen.push('down'),
    random: () => chance,
  })
  return { contact, answering, seen }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

test('the next tracker is tried when one does not answer, later and later, until one does', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { contact, answering, seen } = contactTo(['a', 'b'])
  await contact.connect()
  assert.deepEqual(seen, ['dial a', 'down'])
  t.mock.timers.tick(499)
  await turns()
  assert.equal(seen.length, 2, 'not before its time')
  t.mock.timers.tick(1)
  await turns()
  assert.deepEqual(seen.slice(2), ['dial b', 'down'])
  answering.add('a')
  t.mock.timers.tick(5000)
  await turns()
  assert.deepEqual(seen.slice(4), ['dial a', 'up a'])
  assert.equal(contact.link?.name, 'a')
})

test('the pause ends at 15 s, and by chance lasts up to half as long again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const [chance, mostMs] of [
    [0, 15_000],
    [1, 22_500],
  ] as const) {
    const { contact, seen } = contactTo(['a'], chance)
    await contact.connect()
    for (let i = 0; i < 8; i++) {
      t.mock.timers.tick(22_500)
      await turns()
    }
    const tries = seen.length
    t.mock.timers.tick(mostMs - 1)
    await turns()
    assert.equal(seen.length, tries, 'not before its time')
    t.mock.timers.tick(1)
    await turns()
    assert.deepEqual(seen.slice(tries), ['dial a', 'down'])
    contact.end()
  }
})

test('a tracker that is lost is dialled again, and its absence is told', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { contact, answering, seen } = contactTo(['a'])
  answering.add('a')
  await contact.connect()
  contact.lost()
  assert.equal(contact.link, undefined)
  t.mock.timers.tick(250)
  await turns()
  assert.deepEqual(seen, ['dial a', 'up a', 'down', 'dial a', 'up a'])
})

test('nothing is dialled after the end, nor where this node is the tracker', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const ended = contactTo(['a'])
  await ended.contact.connect()
  ended.contact.end()
  t.mock.timers.tick(60_000)
  await turns()
  assert.deepEqual(ended.seen, ['dial a', 'down'])
  const own = contactTo([])
  await own.contact.connect()
  assert.deepEqual(own.seen, [])
})
