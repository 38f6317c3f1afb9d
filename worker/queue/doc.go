// Package queue is all that the program knows of asynq's inside (v0.26): how its queues lie in Redis, how a worker fetches
// from them, and whose they are.
//
// The central types are
//
//   - [Consumer], which runs a handler for each task: asynq's server behind a gate, which lets it wait for a task instead of
//     asking for one again and again, and on Redis's time instead of this machine's.
//   - [Keeper], which claims a worker's queues and keeps them. A queue of a Redis belongs to one installation, which is a
//     database and a schema: its workers say so in Redis every second, and another installation's refuse to work there.
//     [Look] returns whose a queue is, and [Take] takes it over from an installation that is gone.
//
// Nobody else names a key of asynq's or a field of its messages.
package queue
