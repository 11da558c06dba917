/** Runs on a receiver's host: asks its agent again and again what has come to it, and prints that with the time, one JSON line each. */
import { request } from 'node:http'

const EVERY_MS = 100
const NAMES = { received: 'polycast_swarm_received_bytes_total', multicast: 'polycast_multicast_received_bytes_total' }
const [api] = process.argv.slice(2)

function ask() {
  const asking = request(`${api}/metrics`, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (part) => (text += part))
    answer.on('end', () => {
      const figures = Object.entries(NAMES).map(([key, name]) => [key, Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)])
      process.stdout.write(`${JSON.stringify({ at: Date.now(), ...Object.fromEntries(figures) })}\n`)
      setTimeout(ask, EVERY_MS)
    })
  })
  asking.on('error', () => setTimeout(ask, EVERY_MS))
  asking.end()
}

ask()
