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

// A cause is why jobs wait.
type cause struct {
	server  string // which server, with its address
	code    string // a SQLSTATE, the first word of a refusal of Redis, or one of those below
	text    string // one line: what is wrong and what to do
	lasting bool   // it doesn't heal by waiting
	apart   bool   // it is about some jobs, beside which others go on
}

// Codes of causes that servers have no word for.
const (
	away  = "away"  // it doesn't answer, or is about to go or to come
	slow  = "slow"  // it doesn't answer in the time that a job has
	other = "other" // something that isn't known here
)

// vague tells whether the cause may be what another one looks like from the jobs.
func (c cause) vague() bool { return c.code == away || c.code == slow }

// kind is the server without its address.
func (c cause) kind() string {
	kind, _, _ := strings.Cut(c.server, " ")
	return kind
}

// Servers are what the servers are called, with their addresses.
type Servers struct{ Postgres, Redis string }

// cause tells what an error says of the servers.
func (a Servers) cause(err error) cause {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	var unfitPostgres *postgres.UnfitError
	var unfitRedis *worker.UnfitError
	switch {
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
		c.code, c.text = slow, "no answer in the time that a job has"
	case !unavailable && word != "":
		c = ofRefusal(word)
		c.server, c.text = a.Redis, fromWord(await.OneLine(err), word)
	case unavailable, errors.As(err, &connect), tellsOfConnection(err):
		c.code = away
	}
	if unavailable || errors.As(err, &connect) {
		c.server = a.Postgres
	}
	return c
}

// tellsOfConnection tells whether a server wasn't reached, or has hung up.
func tellsOfConnection(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	return queue.TellsOfConnection(err.Error()) // asynq hands some errors on as text
}

// ofSQLState tells what a SQLSTATE means for the jobs.
func ofSQLState(code string) cause {
	c := cause{code: code}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"), code == "25P03":
		c.code = away
	case code == "55P03", code == "57014", strings.HasPrefix(code, "40"):
		c.apart = true // whoever holds what these jobs need, and how long
	case strings.HasPrefix(code, "42"), strings.HasPrefix(code, "3D"), strings.HasPrefix(code, "3F"), strings.HasPrefix(code, "28"):
		c.lasting = true
	}
	return c
}

func adviceFor(code string) string {
	switch {
	case code == "53100":
		return "make room on its disk"
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

// ofRefusal tells what the first word of a refusal of Redis means for the jobs.
func ofRefusal(word string) cause {
	switch word {
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK":
		return cause{code: away}
	case "NOPERM", "NOAUTH", "WRONGPASS", worker.Evicts, worker.Unknown:
		return cause{code: word, lasting: true}
	}
	return cause{code: word}
}

// fromWord leaves out what asynq puts before a refusal of Redis, and behind it.
func fromWord(text, word string) string {
	if i := strings.Index(text, word+" "); i > 0 {
		text = text[i:]
	}
	text, _, _ = strings.Cut(text, " script: ")
	return text
}

// refusalIn finds the word with which Redis has refused something; asynq hands some of its errors on as text.
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
