package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"invoicer/invoice"
)

const (
	keyHeader    = "Idempotency-Key"
	preferHeader = "Prefer"
)

// longestKey is the longest key, and longestWait the longest time to wait for an invoice.
const (
	longestKey  = 255
	longestWait = 30 * time.Second
)

func isNoIssuer(err error) bool { return errors.Is(err, invoice.ErrNoIssuer) }

// idempotencyKey reads the header of that name: a string of RFC 8941, in quotes, or the same without quotes.
func idempotencyKey(header string) (key string, fault *Fault) {
	header = strings.TrimSpace(header)
	if header == "" {
		return "", nil
	}
	key = header
	if inner, ok := strings.CutPrefix(header, `"`); ok {
		var closed bool
		var b strings.Builder
		for i := 0; i < len(inner); i++ {
			switch {
			case inner[i] == '\\' && i+1 < len(inner) && (inner[i+1] == '"' || inner[i+1] == '\\'):
				i++
				b.WriteByte(inner[i])
			case inner[i] == '"' && i == len(inner)-1:
				closed = true
			case inner[i] == '"' || inner[i] == '\\':
				i = len(inner)
			default:
				b.WriteByte(inner[i])
			}
		}
		if key = b.String(); !closed {
			key = ""
		}
	}
	printable := strings.IndexFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) < 0
	if key == "" || len(key) > longestKey || !printable {
		return "", &Fault{Detail: "must be 1 to 255 printable characters of ASCII, in quotes or not", Header: keyHeader}
	}
	return key, nil
}

// preferredWait reads how long the answer may wait, from Prefer (RFC 7240). Other preferences are ignored.
func preferredWait(header string) (wait time.Duration, waits bool, fault *Fault) {
	for preference := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false, &Fault{Detail: "wait must be a number of whole seconds", Header: preferHeader}
		}
		return min(time.Duration(seconds)*time.Second, longestWait), seconds > 0, nil // of several, the first counts
	}
	return 0, false, nil
}

type controlKey struct{}

// control has the handler find what controls the connection.
func control(ctx huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(ctx)
	next(huma.WithValue(ctx, controlKey{}, http.NewResponseController(w)))
}

// answerTime is how long a client may take to read an answer that it has waited for.
const answerTime = 10 * time.Second

// letWait has a connection stay open for as long as its client waits. The server's own limits are for requests that are answered at once:
// at the one for reading, it takes the client for gone.
func letWait(ctx context.Context, wait time.Duration) {
	if connection, ok := ctx.Value(controlKey{}).(*http.ResponseController); ok { // an error means that there are no limits
		_ = connection.SetReadDeadline(time.Time{})
		_ = connection.SetWriteDeadline(time.Now().Add(wait + answerTime))
	}
}

// withFaults returns what was read, or an error that names what else is wrong with the request, too.
func withFaults[T any](read T, err error, others ...*Fault) (T, error) {
	var wrong []Fault
	for _, f := range others {
		if f != nil {
			wrong = append(wrong, *f)
		}
	}
	var p *ProblemError
	switch {
	case len(wrong) == 0:
		return read, err
	case err == nil:
		return read, problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", wrong...)
	case errors.As(err, &p):
		p.Errors = append(wrong, p.Errors...)
	}
	return read, err
}

// Conditional are the parameters of what can be asked for again.
type Conditional struct {
	IfNoneMatch string `header:"If-None-Match" doc:"the ETag of an earlier answer: the answer is 304 if it is still the same"`
}

// isNotModified reports whether an error is the answer that the client has the same already.
func isNotModified(err error) bool {
	status := huma.StatusError(nil)
	return errors.As(err, &status) && status.GetStatus() == http.StatusNotModified
}

type told[T any] struct {
	ETag string `header:"ETag" doc:"names this content"`
	Body T
}

// tell returns an answer with its ETag, or 304 if the client has the same.
func (c Conditional) tell(body any) (etag string, err error) {
	content, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	etag = `"` + hex.EncodeToString(sum[:12]) + `"`
	if c.has(etag) {
		return "", huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"Etag": {etag}})
	}
	return etag, nil
}

func tell[T any](c Conditional, body T) (*told[T], error) {
	etag, err := c.tell(body)
	if err != nil {
		return nil, err
	}
	return &told[T]{ETag: etag, Body: body}, nil
}

// has reports whether If-None-Match names an ETag.
func (c Conditional) has(etag string) bool {
	for candidate := range strings.SplitSeq(c.IfNoneMatch, ",") {
		if candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/"); candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
