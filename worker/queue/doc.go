// Package queue holds all that the program knows of asynq's internals (v0.26): how queues are stored in Redis, how a worker
// fetches from them, and which installation owns them.
//
// The central types are
//
//   - [Consumer], which runs a handler for each task: asynq's server behind a gate, which waits for a task instead of
//     polling for one, and on Redis's time instead of this machine's.
//   - [Keeper], which claims a worker's queues and keeps them. A queue belongs to one installation, which is a database and
//     a schema: its workers renew their claim in Redis every second, and other installations' workers refuse to work there.
//     [Look] returns a queue's owner, and [Take] takes the queue over from an installation that is gone.
//
// No other package names asynq's keys or the fields of its messages.
package queue
