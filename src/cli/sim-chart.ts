/**
 * The results of `polycast sim` as a picture: two panels one above the other, times and traffic, over the number of nodes, or over the loss
 * where only that was varied. Plain SVG, readable on light and dark grounds.
 */
import type { Sizing } from '../sim/gossip/sizing.ts'

interface Point {
  readonly x: number
  readonly y: number
}

interface Series {
  readonly name: string
  readonly color: string
  /** Pattern of the line, as SVG has it; empty for a solid one. */
  readonly dash: string
  readonly points: readonly Point[]
}

interface Panel {
  readonly title: string
  readonly series: readonly Series[]
}

interface Metric {
  readonly name: string
  readonly color: string
  /** Below 0 or undefined where there is none. */
  readonly value: (one: Sizing) => number | undefined
}

const TIMES: readonly Metric[] = [
  { name: 'crash known to all', color: '#d1495b', value: (one) => one.crashAllMs / 1000 },
  { name: 'crash known to the first', color: '#edae49', value: (one) => one.crashFirstMs / 1000 },
  { name: 'join known to all', color: '#00798c', value: (one) => one.joinAllMs / 1000 },
  { name: 'tags known to all', color: '#6a8d37', value: (one) => one.changeAllMs / 1000 },
  { name: 'event known to all', color: '#8d6a9f', value: (one) => one.whole && one.whole.eventAllMs / 1000 },
]
const TRAFFIC: readonly Metric[] = [
  { name: 'datagrams', color: '#00798c', value: (one) => one.packetBytesPerSec },
  { name: 'streams', color: '#8d6a9f', value: (one) => one.streamBytesPerSec },
  { name: 'all layers', color: '#d1495b', value: (one) => one.whole?.wholeBytesPerSec },
]
/** One for each value of what is not on the axis. */
const DASHES = ['', '7 4', '2 3', '9 3 2 3', '1 5', '12 4', '4 8', '6 2 2 2']

const WIDTH = 840
const PANEL_HEIGHT = 300
const LEFT = 64
const RIGHT = 290
const TOP = 34
const BOTTOM = 44
const LINE_HEIGHT = 17
/** From where on an axis of nodes is divided by powers. */
const LOG_FROM_RATIO = 6

/** The picture as text. */
export function sizingChart(results: readonly Sizing[]): string {
  const isOverLoss = new Set(results.map(({ nodes }) => nodes)).size === 1 && new Set(results.map(({ loss }) => loss)).size > 1
  const first = results[0]!
  const panels = [
    { title: 'time until it is known, s', series: seriesOf(results, TIMES, isOverLoss) },
    { title: 'sent by a node when nothing happens, bytes/s', series: seriesOf(results, TRAFFIC, isOverLoss) },
  ]
  const heights = panels.map(({ series }) => Math.max(PANEL_HEIGHT, TOP + BOTTOM + series.length * LINE_HEIGHT))
  const height = heights.reduce((sum, one) => sum + one, 30)
  const of = isOverLoss ? `${first.nodes} nodes` : lossesOf(results)
  let top = 30
  const drawn = panels.map((panel, index) => {
    const text = drawPanel(panel, top, heights[index]!, isOverLoss)
    top += heights[index]!
    return text
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${LEFT}" y="20" font-size="14" font-weight="600">polycast sim: profile ${first.profile}, ${of}, seed ${escaped(first.seed)}</text>
${drawn.join('\n')}
</svg>
`
}

function lossesOf(results: readonly Sizing[]): string {
  const losses = [...new Set(results.map(({ loss }) => loss))]
  return losses.length === 1 ? `${percent(losses[0]!)} loss` : `loss ${losses.map(percent).join(', ')}`
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))} %`
}

/** A line for each metric and each loss, over the nodes; or for each metric, over the loss. Points that never came are left out. */
function seriesOf(results: readonly Sizing[], metrics: readonly Metric[], isOverLoss: boolean): Series[] {
  const losses = isOverLoss ? [undefined] : [...new Set(results.map(({ loss }) => loss))]
  return metrics.flatMap(({ name, color, value }) =>
    losses.map((loss, index) => ({
      name: losses.length > 1 ? `${name}, ${percent(loss!)} loss` : name,
      color,
      dash: DASHES[index % DASHES.length]!,
      points: results
        .filter((one) => loss === undefined || one.loss === loss)
        .map((one) => ({ x: isOverLoss ? one.loss * 100 : one.nodes, y: value(one) ?? -1 }))
        .filter(({ y }) => y >= 0),
    })),
  )
}

function drawPanel({ title, series }: Panel, top: number, height: number, isOverLoss: boolean): string {
  const points = series.flatMap((one) => one.points)
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b)
  const least = xs[0] ?? 1
  const most = xs.at(-1) ?? 1
  const isLog = !isOverLoss && most / least >= LOG_FROM_RATIO
  const scaled = (x: number): number => (isLog ? Math.log(x) : x)
  const span = scaled(most) - scaled(least)
  const plotWidth = WIDTH - LEFT - RIGHT
  const plotHeight = height - TOP - BOTTOM
  const toX = (x: number): number => LEFT + (span === 0 ? plotWidth / 2 : ((scaled(x) - scaled(least)) / span) * plotWidth)
  const ticks = ticksTo(Math.max(...points.map(({ y }) => y), 0))
  const highest = ticks.at(-1)!
  const toY = (y: number): number => top + TOP + plotHeight - (y / highest) * plotHeight
  const parts = [`<text x="${LEFT}" y="${top + TOP - 12}" font-weight="600">${title}</text>`]
  for (const tick of ticks) {
    const y = fixed(toY(tick))
    parts.push(`<line x1="${LEFT}" x2="${LEFT + plotWidth}" y1="${y}" y2="${y}" stroke="#dddddd"/>`)
    parts.push(`<text x="${LEFT - 8}" y="${y}" dy="4" text-anchor="end">${tick.toLocaleString('en-US')}</text>`)
  }
  let free = -Infinity
  for (const x of xs) {
    const at = toX(x)
    parts.push(`<line x1="${fixed(at)}" x2="${fixed(at)}" y1="${fixed(toY(0))}" y2="${fixed(toY(0) + 5)}" stroke="#888888"/>`)
    const label = isOverLoss ? `${x} %` : x.toLocaleString('en-US')
    // A label that would run into the one before it is left out.
    if (at - label.length * 3.5 < free) continue
    free = at + label.length * 3.5 + 6
    parts.push(`<text x="${fixed(at)}" y="${fixed(toY(0) + 18)}" text-anchor="middle">${label}</text>`)
  }
  const unit = isOverLoss ? 'packets lost' : isLog ? 'nodes (logarithmic)' : 'nodes'
  parts.push(`<text x="${LEFT + plotWidth / 2}" y="${fixed(toY(0) + 34)}" text-anchor="middle" fill="#555555">${unit}</text>`)
  for (const [index, one] of series.entries()) parts.push(drawSeries(one, index, toX, toY, top))
  return parts.join('\n')
}

function drawSeries(
  { name, color, dash, points }: Series,
  index: number,
  toX: (x: number) => number,
  toY: (y: number) => number,
  top: number,
): string {
  const stroke = `stroke="${color}" stroke-width="2" fill="none"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`
  const line = points.map(({ x, y }) => `${fixed(toX(x))},${fixed(toY(y))}`).join(' ')
  const dots = points.map(
    ({ x, y }) =>
      `<circle cx="${fixed(toX(x))}" cy="${fixed(toY(y))}" r="3" fill="${color}"><title>${escaped(name)}: ${y}</title></circle>`,
  )
  const legendX = WIDTH - RIGHT + 18
  const legendY = top + TOP + 6 + index * LINE_HEIGHT
  return [
    `<polyline points="${line}" ${stroke}/>`,
    ...dots,
    `<line x1="${legendX}" x2="${legendX + 24}" y1="${legendY}" y2="${legendY}" ${stroke}/>`,
    `<text x="${legendX + 30}" y="${legendY}" dy="4">${escaped(name)}</text>`,
  ].join('\n')
}

/** Round numbers from 0 to at least the highest value, three to eight of them. */
function ticksTo(highest: number): number[] {
  if (highest <= 0) return [0, 1]
  const magnitude = 10 ** Math.floor(Math.log10(highest))
  const step = [0.2, 0.5, 1, 2].map((factor) => factor * magnitude).find((one) => highest / one <= 7)!
  return Array.from({ length: Math.ceil(highest / step) + 1 }, (_, index) => Number((index * step).toPrecision(6)))
}

function fixed(value: number): string {
  return String(Number(value.toFixed(1)))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
