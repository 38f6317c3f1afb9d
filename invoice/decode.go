package invoice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice/fields"
	"invoicer/invoice/identifier"
)

// wholePayload is the field name of a problem that concerns the payload as a whole.
const wholePayload = "payload"

// Decode reads a job from JSON, strictly: nothing is guessed, dropped or rounded. The returned job is valid, its
// Calculate succeeds, its IdempotencyKey is set, and its time is in UTC.
//
// For a payload that can never become an invoice, Decode returns an [*InvalidError] that names every bad field. The
// job is not nil even then: it holds TransactionID, IdempotencyKey, Producer, Issuer and Series, as far as each could be read
// and is valid by itself, and nothing else, so that the failure can be recorded under them. For a JSON object that
// states a version newer than [TaskVersion], whatever else it holds, Decode returns a [*VersionError] and the same
// kind of job. There are no other errors.
func Decode(payload []byte) (*Job, error) {
	r, err := Read(payload)
	return r.Job, err
}

// A Reading is a job that was read, and what was found out about it by that.
type Reading struct {
	Job    *Job
	Totals Totals // what the job's Calculate returns
	// Lenient says that the release before this one would refuse a job of version 1 that this one takes: for characters of an
	// identifier, an identifier that is a JSON number, a currency in small letters, or more digits of a second than six. While a worker
	// of that release lives, such a job must not be begun, lest it depends on chance how the job ends.
	Lenient bool
}

// Read is [Decode], and returns what it has found out as well. Beside an error, there is nothing but the job.
func Read(payload []byte) (Reading, error) {
	d := decoder{object: "a job", job: &Job{Version: 1}}
	if len(payload) > MaxPayload {
		// The part that fits may identify the job. That it ends too early is already known.
		_ = d.readPayload(payload[:MaxPayload], d.readJob)
		return d.refused(false, &InvalidError{Problems: []Problem{{wholePayload, tooLong(len(payload), limitsOf(d.job.Version).payload)}}})
	}
	if err := d.readPayload(payload, d.readJob); err != nil {
		d.problems.add(wholePayload, d.malformed(err))
		return d.refused(false, d.problems.err())
	}
	if d.newer != 0 && !d.problems.has("version") && !d.problems.has(wholePayload) {
		return d.refused(true, &VersionError{Version: d.newer})
	}
	if most := limitsOf(d.job.Version).payload; len(payload) > most {
		return d.refused(false, &InvalidError{Problems: []Problem{{wholePayload, tooLong(len(payload), most)}}})
	}
	d.judgeByVersion()
	totals := d.job.validate(&d.problems)
	if err := d.problems.err(); err != nil {
		return d.refused(true, err)
	}
	if d.job.Terms != nil || d.job.hasLineTerms() {
		d.job.normalize(totals.signKind())
	}
	if d.job.IdempotencyKey == "" {
		d.job.IdempotencyKey = d.job.TransactionID
	}
	return Reading{d.job, totals, d.lenient && d.job.Version == 1}, nil
}

// A decoder reads one payload. Its methods return an error only if the payload isn't JSON and reading can't go on;
// everything else that is wrong is recorded as a problem.
type decoder struct {
	object   string // what the payload is, for messages
	tokens   *jsontext.Decoder
	job      *Job
	problems problems
	newer    int // the version, if it is newer than TaskVersion
	at       place

	null bool // a text or a number was read last, and is null

	lines   int          // how many the job states
	noLines bool         // it states an empty list of lines, or something else
	wide    []wideNumber // numbers that are beyond the bounds of version 1

	lenient   bool    // something is taken that the release before refuses in version 1
	suggested int     // how often a known name was looked for
	newFields []place // that only version 2 has
	terms     fields.Reader
}

// A place is a decoder's position in a job. It becomes text only when there is a problem to report.
type place struct {
	group group
	line  int // index in lines
	name  string
}

type group uint8

const (
	inJob group = iota
	inLines
	inMetadata
)

func (p place) String() string {
	switch p.group {
	case inLines:
		return lineField(p.line, p.name)
	case inMetadata:
		return metadataField(p.name)
	default:
		return p.name
	}
}

// of returns the place of another field in the same object.
func (p place) of(name string) place {
	p.name = name
	return p
}

func (d *decoder) complain(message string) { d.problems.add(d.at.String(), message) }

// refuse records a problem for a value of the wrong type and skips the value.
func (d *decoder) refuse(message string) error {
	if err := d.tokens.SkipValue(); err != nil {
		return err
	}
	d.complain(message)
	return nil
}

// readPayload reads one object by read, while the decoder stands before it.
func (d *decoder) readPayload(payload []byte, read func() error) error {
	// A tokenizer that refuses duplicate names and invalid UTF-8 stops at the first. So its options allow them, and the
	// decoder finds them itself and names all.
	d.tokens = jsontext.NewDecoder(bytes.NewBuffer(payload),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.tokens.PeekKind() != '{' {
		if err := d.tokens.SkipValue(); err != nil {
			return err
		}
		return errNoObject
	}
	if err := read(); err != nil {
		return err
	}
	if rest := payload[d.tokens.InputOffset():]; len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		d.problems.add(wholePayload, "has data after the JSON object")
	}
	return nil
}

var errNoObject = errors.New("must be a JSON object")

// malformed returns why reading couldn't go on, without quoting the payload.
func (d *decoder) malformed(err error) string {
	var message string
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		message = "must be a JSON object, and is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		message = "is not valid JSON: it ends too early"
	case errors.As(err, &syntax):
		message = fmt.Sprintf("is not valid JSON at byte %d", syntax.ByteOffset)
	default:
		message = err.Error()
	}
	if field := d.at.String(); field != "" {
		message += ", in or after " + field
	}
	return message
}

// refused returns the part of a refused job that is kept, beside the error. Only a payload that was read completely is known not to
// state a key.
func (d *decoder) refused(complete bool, err error) (Reading, error) {
	keep := func(field, value string, valid bool) string {
		if !valid || d.problems.has(field) {
			return ""
		}
		return value
	}
	j := d.job
	id := &Job{
		TransactionID:  keep("transaction_id", j.TransactionID, identifier.Problem(j.TransactionID, maxTransactionID) == ""),
		IdempotencyKey: keep("idempotency_key", j.IdempotencyKey, identifier.Problem(j.IdempotencyKey, maxIdempotencyKey) == ""),
		Producer:       keep("producer", j.Producer, IsProducer(j.Producer)),
		Issuer:         keep("issuer", j.Issuer, IsIssuer(j.Issuer)),
		Series:         keep("series", j.Series, isSeries(j.Series)),
	}
	if complete && j.IdempotencyKey == "" && !d.problems.has("idempotency_key") {
		id.IdempotencyKey = id.TransactionID
	}
	return Reading{Job: id}, err
}

// members reads an object whose names are known. For the first member of each name it calls read with the name's
// index in known, while the decoder stands before the value; it records a problem for every other member.
func (d *decoder) members(known *fields.Names, read func(i int) error) error {
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	object := d.at
	var seen [mostMembers]bool
	for d.tokens.PeekKind() != '}' {
		raw, err := d.tokens.ReadValue()
		if err != nil {
			return err
		}
		name, _ := unquoted(raw) // no known name contains invalid UTF-8
		i := known.Index(name)
		if i < 0 {
			d.at.name = fields.Quoted(string(name))
			err = d.refuse("is no field of " + d.object + d.didYouMean(name, known))
		} else if d.at.name = known.At(i); seen[i] {
			err = d.refuseTwice()
		} else {
			seen[i] = true
			err = read(i)
		}
		if err != nil {
			return err
		}
		d.at = object
	}
	_, err := d.tokens.ReadToken()
	return err
}

// mostMembers is the largest number of known names that members supports.
const mostMembers = 128

const isTwice = fields.IsTwice

func (d *decoder) readJob() error {
	j := d.job
	return d.members(&jobNames, func(i int) error {
		if i < len(jobMembers) {
			return jobMembers[i].read(d, j)
		}
		if j.Terms == nil {
			j.Terms = &Terms{}
		}
		return d.readTerm(termsFields, j.Terms, i-len(jobMembers))
	})
}

// fewLines is how many lines there is room for at first. Most jobs have more.
const fewLines = 4

func (d *decoder) readLines() error {
	switch d.tokens.PeekKind() {
	case '[':
	case 'n':
		return d.tokens.SkipValue()
	default:
		d.noLines = true
		return d.refuse(mustBeLines(version1().lines)) // judgeByVersion corrects the number
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	d.job.Lines = make([]Line, 0, fewLines)
	lines := d.at
	n := 0
	for ; d.tokens.PeekKind() != ']'; n++ {
		d.at = place{group: inLines, line: n}
		read := d.readLine
		if n >= MaxLines {
			read = d.tokens.SkipValue
		}
		if err := read(); err != nil {
			return err
		}
	}
	if d.at, d.lines = lines, n; n == 0 {
		d.noLines = true
		d.complain(mustBeLines(version1().lines))
	}
	_, err := d.tokens.ReadToken()
	return err
}

func (d *decoder) readLine() error {
	i := d.at.line
	d.job.Lines = append(d.job.Lines, Line{})
	if d.tokens.PeekKind() != '{' {
		return d.refuse("must be an object")
	}
	l := &d.job.Lines[i]
	var stated uint64
	err := d.members(&lineNames, func(n int) error {
		if n < len(lineMembers) {
			d.null = false
			err := lineMembers[n].read(d, l)
			if !d.null {
				stated |= 1 << n
			}
			return err
		}
		if l.Terms == nil {
			l.Terms = &LineTerms{}
		}
		return d.readTerm(lineFields, l.Terms, n-len(lineMembers))
	})
	if err != nil {
		return err
	}
	for missing := requiredOfLine &^ stated; missing != 0; missing &= missing - 1 {
		d.problems.add(lineField(i, lineMembers[bits.TrailingZeros64(missing)].name), isRequired)
	}
	return nil
}
