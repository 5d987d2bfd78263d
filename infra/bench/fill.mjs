// Writes many copies of a project straight into the folder of a dynalite that
// does not run: through its API a million would take a quarter of an hour. Keys
// and index entries are made by dynalite's own code.
//
//   node infra/bench/fill.mjs < plan.json     (in the module's folder)
//
// The plan: {"path": FOLDER, "table": NAME, "item": ITEM, "prefix": TEXT,
// "from": N, "to": N, "tenants": N, "shards": N}. Project n is prefix-n of tenant
// prefix-(n modulo tenants), in shard n modulo shards, and was created and started
// n milliseconds after the item: dynalite tells entries of an index whose keys are
// equal by six hexadecimal digits alone, and would lose some. All else is the item's.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const plan = JSON.parse(await text(process.stdin))
const fromStack = createRequire(join(process.cwd(), 'infra', 'local', 'package.json'))
const fromDynalite = createRequire(fromStack.resolve('dynalite'))
const { Level } = fromDynalite('level')
const { createKey, getIndexActions } = fromDynalite('./db')

const level = new Level(plan.path, { valueEncoding: 'utf8' })
await level.open({ writeBufferSize: 64 << 20 })
const table = JSON.parse(await level.get(`table~${plan.table}`))
const indexes = [
  ...(table.LocalSecondaryIndexes ?? []).map((index) => [ 'local', index ]),
  ...(table.GlobalSecondaryIndexes ?? []).map((index) => [ 'global', index ]),
]

const after = (attribute, n) => ({ S: new Date(Date.parse(plan.item[attribute].S) + n).toISOString() })
const inBatch = 500
let batch = []
for (let n = plan.from; n < plan.to; n++) {
  const item = {
    ...plan.item,
    tenant_id: { S: `${plan.prefix}-${n % plan.tenants}` },
    project_id: { S: `${plan.prefix}-${n}` },
    created_at: after('created_at', n),
    execution_started_at: after('execution_started_at', n),
    status_shard: { S: `running#${String(n % plan.shards).padStart(2, '0')}` },
  }
  const whole = JSON.stringify(item)
  batch.push({ type: 'put', key: `item-${plan.table}~${createKey(item, table)}`, value: whole })
  for (const [ kind, index ] of indexes) {
    for (const put of getIndexActions([ index ], null, item, table).puts) {
      batch.push({
        type: 'put', key: `index-${kind}~${plan.table}~${put.index}~${put.key}`,
        value: put.item === item ? whole : JSON.stringify(put.item),
      })
    }
  }
  if (batch.length >= 3 * inBatch) {
    await level.batch(batch)
    batch = []
  }
}
await level.batch(batch)
await level.close()
