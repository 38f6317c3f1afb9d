package postgres_test

import (
	"flag"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

//nolint:gochecknoglobals // flags
var (
	pooler   = flag.String("pooler", "", "give every test's store a PgBouncer in this mode: transaction or session")
	execMode = flag.String("exec-mode", "", "the default_query_exec_mode of its URL: exec, simple_protocol and so on; none")
)

// leftovers are settings that another client of the pool left in a session of the server's.
const leftovers = "SET search_path = nowhere; SET default_transaction_isolation = serializable; SET lock_timeout = '1ms'; " +
	"SET idle_in_transaction_session_timeout = '1ms'; SET enable_indexscan = off; SET datestyle = 'German, DMY'"

// throughPooler is the URL of the same database by way of a PgBouncer, which gives each transaction, or each session,
// another one of the server's sessions than the one before.
func throughPooler(t *testing.T, url, mode string) string {
	t.Helper()
	address := sandboxtest.PgBouncer(t, url, servers.PgBouncerOptions{Mode: mode, ConnectQuery: leftovers, Settings: map[string]string{
		"server_round_robin": "1",
	}}).URL
	if *execMode != "" {
		address += "&default_query_exec_mode=" + *execMode
	}
	return address
}
