// Command benchmark measures the worker beside its peers, on the same servers, with the same jobs, in one run:
//
//	make bench        # at most 20 minutes; rewrites docs/benchmarks.md
//	make bench-full   # latency, memory, full tables and the like as well
//
// It starts a Postgres that waits for the disk at each commit, and a Redis, both private; or it uses the servers that
// INVOICER_DATABASE_URL and INVOICER_REDIS_URL name, which have to be empty: it drops and creates the schema
// invoicer_benchmark, and flushes the Redis database before every round.
//
// It is a module of its own, so that the peers are not among the dependencies of anything else.
package main
