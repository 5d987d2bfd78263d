// Serves dynalite, the DynamoDB of the local stack and of the tests, for the
// process that started this one. Prints one JSON line: {"port": N}, or
// {"error": "..."} and exits 1. It lives exactly as long as its stdin is open,
// so it dies with its parent on every system, even when that one is killed.
//
//   node dynalite.mjs [--host 127.0.0.1] [--port 0] [--path FOLDER]
//
// Without a path it keeps its data in memory.

import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    path: { type: 'string', default: '' },
  },
})

let ready = false

function fail (problem) {
  const message = problem?.cause?.message ?? problem?.message ?? String(problem)
  if (ready) {
    process.stderr.write(`dynalite: ${message}\n`, () => process.exit(1))
  }
  else {
    process.stdout.write(JSON.stringify({ error: message }) + '\n', () => process.exit(1))
  }
}
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)

// A signal to the terminal's whole process group is the parent's to answer: it
// still needs the database while it drains.
for (const signal of [ 'SIGINT', 'SIGTERM', 'SIGHUP' ]) process.on(signal, () => {})

const { default: dynalite } = await import('dynalite')

if (options.path) {
  // dynalite opens its folder at the first request, and says nothing of use
  // when it can't. Opening it once before tells why.
  const { Level } = createRequire(import.meta.resolve('dynalite'))('level')
  const folder = new Level(options.path)
  await folder.open()
  await folder.close()
}

const server = dynalite({
  path: options.path || undefined,
  createTableMs: 0,
  updateTableMs: 0,
  deleteTableMs: 0,
})

const [ serve ] = server.listeners('request')
server.removeAllListeners('request')
server.on('request', (req, res) => {
  // dynalite answers any origin, so a web page that guesses the port could
  // read and write the data. No page has business here.
  if (req.headers.origin) {
    res.writeHead(403)
    res.end()
    return
  }
  req.on('error', () => {})
  waiting.push(() => {
    if (req.destroyed) return // its client has given up
    serve(req, res)
    // dynalite throws, and so ends the process, when a client hangs up in the
    // middle of its request, as one does whose deadline has passed.
    req.removeAllListeners('error')
    req.on('error', () => {})
  })
  serveNext()
})

// One request a turn of the loop, for Node accepts one connection a turn. If a
// turn served all that have come, new connections would wait for all others
// again and again, and under load for longer than their clients do.
const waiting = []
let serving = false
function serveNext () {
  if (serving || waiting.length === 0) return
  serving = true
  setImmediate(() => {
    serving = false
    const request = waiting.shift()
    serveNext()
    request()
  })
}

// Longer than the stack's clients keep a connection that they don't use.
server.keepAliveTimeout = 120_000

let closing = false
process.stdin.resume()
for (const event of [ 'end', 'close', 'error' ]) {
  process.stdin.on(event, () => {
    if (closing) return
    closing = true
    if (!server.listening) process.exit(0)
    server.close((err) => process.exit(err ? 1 : 0))
    server.closeAllConnections()
  })
}

server.on('error', fail)
server.listen(Number(options.port), options.host, () => {
  ready = true
  console.log(JSON.stringify({ port: server.address().port }))
})
