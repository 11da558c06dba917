/**
 * Runs on the origin's host: waits for a line on standard input, orders the delivery over the agent's HTTP API, and prints what
 * came of it as one JSON line. Started beforehand, so that no start of a process is in the time.
 */
import { request } from 'node:http'
import { createInterface } from 'node:readline'

const [api, path, to] = process.argv.slice(2)

createInterface({ input: process.stdin }).once('line', () => {
  const begun = performance.now()
  const receipts = []
  let sentBytes
  let text = ''
  const order = request(`${api}/v1/deliveries`, { method: 'POST', headers: { 'content-type': 'application/json' } }, (answer) => {
    answer.setEncoding('utf8')
    answer.on('data', (part) => {
      text += part
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const event = JSON.parse(line)
        sentBytes = event.delivery?.sentBytes ?? event.sentBytes ?? sentBytes
        if (event.event === 'receipt') receipts.push({ seconds: (performance.now() - begun) / 1000, ...event.receipt })
      }
    })
    answer.on('end', () => {
      process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - begun) / 1000, receipts, sentBytes, rest: text })}\n`)
      process.exit(0)
    })
  })
  order.end(JSON.stringify({ source: path, selector: to }))
})
process.stdout.write('ready\n')
