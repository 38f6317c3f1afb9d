package health

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/await"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker"
	"invoicer/worker/queue"
)

// A cause is a reason why jobs wait. Its server and code identify it.
type cause struct {
	server  string // the server's name with its address
	code    string // a SQLSTATE, the first word of Redis's error, or one of the codes below
	text    string // one line: what is wrong, and what to do
	lasting bool   // waiting doesn't help: somebody must act
	partial bool   // it concerns some jobs only; the others go on
}

// Codes of the causes for which the servers have no code of their own.
const (
	away  = "away"   // the server can't be reached, is starting, or is shutting down
	slow  = "slow"   // the server didn't answer before the job's deadline
	lossy = "unsafe" // the server may lose what it commits
	other = "other"  // an error that this package doesn't know
)

// unspecific reports whether the cause may be only a symptom of another one: to a job, a server that is out of memory can
// look like one that doesn't answer.
func (c cause) unspecific() bool { return c.code == away || c.code == slow }

// kind returns the server's name without its address: postgres or redis.
func (c cause) kind() string {
	kind, _, _ := strings.Cut(c.server, " ")
	return kind
}

// Servers are the names of the servers, with their addresses, for logs: "redis at 127.0.0.1:6379".
type Servers struct{ Postgres, Redis string }

// cause returns the cause of an error of a job, a part or a probe. It attributes an error that names no server to Redis, since
// the store marks its own errors.
func (a Servers) cause(err error) cause {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	var unfitPostgres *postgres.UnfitError
	var unfitRedis *worker.UnfitError
	var unsafe *postgres.UnsafeError
	switch {
	case errors.As(err, &unsafe):
		return cause{server: a.Postgres, code: lossy, lasting: true, text: unsafe.Error()}
	case errors.As(err, &unfitPostgres):
		c := ofSQLState(unfitPostgres.Code)
		c.server, c.text = a.Postgres, unfitPostgres.Error()
		return c
	case errors.As(err, &unfitRedis):
		c := ofRefusal(unfitRedis.Code)
		c.server, c.text = a.Redis, unfitRedis.Error()
		return c
	case errors.As(err, &pg):
		c := ofSQLState(pg.Code)
		c.server, c.text = a.Postgres, await.OneLine(err)
		if advice := adviceFor(pg.Code); advice != "" {
			c.text += ": " + advice
		}
		return c
	}
	c := cause{server: a.Redis, code: other, text: await.OneLine(err)}
	unavailable := errors.Is(err, invoice.ErrUnavailable)
	switch word := refusalIn(err); {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		c.code, c.text = slow, "no answer within a job's time limit"
	case !unavailable && word != "":
		c = ofRefusal(word)
		c.server, c.text = a.Redis, fromWord(await.OneLine(err), word)
	case unavailable, errors.As(err, &connect), isConnectionError(err):
		c.code = away
	}
	if unavailable || errors.As(err, &connect) {
		c.server = a.Postgres
	}
	return c
}

// isConnectionError reports whether a server couldn't be reached, or closed the connection.
func isConnectionError(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	return queue.MeansConnectionLost(err.Error()) // asynq passes some errors on as text only
}

// ofSQLState returns the cause for a SQLSTATE, without its server and text.
func ofSQLState(code string) cause {
	c := cause{code: code}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"), code == "25P03":
		c.code = away
	case code == "55P03", code == "57014", strings.HasPrefix(code, "40"):
		c.partial = true // somebody else holds a lock that these jobs need
	case strings.HasPrefix(code, "42"), strings.HasPrefix(code, "3D"), strings.HasPrefix(code, "3F"), strings.HasPrefix(code, "28"):
		c.lasting = true
	}
	return c
}

// adviceFor returns what to do about a SQLSTATE, or "".
func adviceFor(code string) string {
	switch {
	case code == "53100":
		return "make room on its disk"
	case code == "55P03":
		return "another transaction holds a lock that they need: look for the oldest in pg_stat_activity, and end it"
	case code == "53300":
		return "raise its max_connections, or let fewer processes connect"
	case code == "25006":
		return "it is a standby, or default_transaction_read_only is on"
	case code == "42501":
		return "GRANT it; a worker that starts names all that its role lacks"
	case code == "42P01", code == "42883", strings.HasPrefix(code, "3F"):
		return "run invoicer migrate up, or restore what was dropped"
	}
	return ""
}

// ofRefusal returns the cause for the first word of an error of Redis, without its server and text.
func ofRefusal(word string) cause {
	switch word {
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK":
		return cause{code: away}
	case "NOPERM", "NOAUTH", "WRONGPASS", worker.Evicts, worker.Unknown:
		return cause{code: word, lasting: true}
	}
	return cause{code: word}
}

// fromWord returns an error of Redis, which begins with word, without the text that asynq puts around it.
func fromWord(text, word string) string {
	if i := strings.Index(text, word+" "); i > 0 {
		text = text[i:]
	}
	text, _, _ = strings.Cut(text, " script: ")
	return text
}

// refusalIn returns the first word of the error with which Redis refused a command, or "" if err isn't one. It also searches
// the text, because asynq passes some errors on as text only.
func refusalIn(err error) string {
	if word := queue.RefusalIn(err.Error()); word != "" {
		return word
	}
	var reply redis.Error
	if errors.As(err, &reply) && !errors.Is(err, redis.Nil) {
		word, _, _ := strings.Cut(reply.Error(), " ")
		return word
	}
	return ""
}
