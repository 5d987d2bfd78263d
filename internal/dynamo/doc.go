// Package dynamo keeps projects, tenants and sessions in DynamoDB. It is the
// only importer of the DynamoDB client.
//
// A project is one item, and each transition of the state machine is one
// conditional UpdateItem: the row of [project.Transitions] says what it writes,
// and the condition names what it leaves (the status, and the execution it
// speaks for). No transactions: they cost twice as much, conflict under load,
// and the local database has none.
//
// The client retries a request whose answer was lost, and the retry meets its
// own first write. So each write carries a request token that stays on the
// item; a failed condition whose item bears the writer's own token is a
// success.
//
// A failed condition answers with the item as it is, where the database sends
// it (ReturnValuesOnConditionCheckFailure); where it does not, the store reads
// the item again.
//
// Errors: a refusal is a [project.Error]. Throttling, timeouts and faults of the
// database that outlast the client's retries have [project.CodeUnavailable].
// Everything else is an ordinary error.
package dynamo
