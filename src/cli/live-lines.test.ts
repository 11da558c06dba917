import assert from 'node:assert/strict'
import test from 'node:test'
import { bar, LiveLines, percent } from './live-lines.ts'

/** A terminal that obeys what is sent to it, as far as LiveLines uses it. */
class Screen {
  readonly isTTY: boolean = true
  readonly columns: number = 30
  readonly rows: number = 5
  readonly lines: string[] = ['']
  #row = 0

  write(text: string): boolean {
    // oxlint-disable-next-line no-control-regex
    for (const piece of text.split(/(\u001B\[\d*[A-Z]|\r|\n)/)) {
      // oxlint-disable-next-line no-control-regex
      const up = /^\u001B\[(\d+)A$/.exec(piece)
      if (up !== null) this.#row -= Number(up[1])
      else if (piece === '\u001B[J') this.lines.splice(this.#row, Infinity, '')
      else if (piece === '\n') {
        this.#row++
        this.lines[this.#row] ??= ''
      } else if (piece !== '\r') this.lines[this.#row] += piece
    }
    return true
  }
}

test('lines are redrawn in place, and what is printed stays above them', () => {
  const screen = new Screen()
  let now = 0
  const live = new LiveLines(screen, () => now)
  live.draw(() => ['one', 'two'])
  assert.deepEqual(screen.lines, ['one', 'two', ''])
  live.draw(() => assert.fail('too early to draw again'))
  now += 100
  live.draw(() => ['three'])
  assert.deepEqual(screen.lines, ['three', ''])
  live.print('kept\n')
  live.draw(() => ['four'])
  assert.deepEqual(screen.lines, ['kept', 'four', ''])
  live.clear()
  assert.deepEqual(screen.lines, ['kept', ''])
  live.clear()
  assert.deepEqual(screen.lines, ['kept', ''])
})

test('no more lines than the terminal has, none wider than it is', () => {
  const screen = new Screen()
  new LiveLines(screen, () => 0).draw(() => ['x'.repeat(100), 'b', 'c', 'd', 'e', 'f'])
  assert.deepEqual(screen.lines, [`${'x'.repeat(28)}…`, 'b', 'c', '… and 3 more', ''])
})

test('without a terminal nothing is drawn', () => {
  const written: string[] = []
  const live = new LiveLines({ write: (text) => written.push(text) > 0 })
  live.draw(() => assert.fail('nobody sees it'))
  live.print('line\n')
  live.clear()
  assert.deepEqual(written, ['line\n'])
})

test('bars', () => {
  assert.equal(bar(1, 2, 10), '[#####.....]')
  assert.equal(bar(0, 0, 4), '[####]')
  assert.equal(bar(9, 2, 4), '[####]')
  assert.equal(bar(1, undefined, 4), '[?   ]')
  assert.equal(percent(1, 3), ' 33 %')
  assert.equal(percent(0, 0), '100 %')
  assert.equal(percent(1, undefined), '     ')
})
