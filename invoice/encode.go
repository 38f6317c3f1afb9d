package invoice

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice/fields"
)

// Encode returns the job as JSON, for a service that builds its jobs in Go. A Version of 0 means [Job.NeededVersion], so that older
// workers read all that they can. The
// rules are those of [Decode]; decoding the result gives an equal job with the same fingerprint, its defaults filled
// in and its time in UTC.
//
// It returns an [*InvalidError] that names every bad field, by its name in JSON. The field payload means that the
// JSON is longer than [MaxPayload].
func (j *Job) Encode() ([]byte, error) {
	complete := *j
	if complete.Version == 0 {
		complete.Version = j.NeededVersion()
	}
	var p problems
	complete.validate(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	var w writer
	w.job(&complete)
	if w.err != nil {
		return nil, fmt.Errorf("spelling a valid job as JSON: %w", w.err)
	}
	if most := limitsOf(complete.Version).payload; len(w.json) > most {
		p.add(wholePayload, tooLong(len(w.json), most))
		return nil, p.err()
	}
	return w.json, nil
}

func tooLong(n, most int) string {
	return fmt.Sprintf("has %s bytes and must not have more than %s", grouped(n), grouped(most))
}

// A writer writes a job as JSON and keeps the first error. A valid job causes none.
type writer struct {
	json []byte
	err  error
}

func (w *writer) job(j *Job) {
	w.raw(`{"version":`)
	w.json = strconv.AppendInt(w.json, int64(j.Version), 10)
	w.member("transaction_id", j.TransactionID)
	w.member("idempotency_key", j.IdempotencyKey)
	w.member("producer", j.Producer)
	w.member("issuer", j.Issuer)
	w.member("series", j.Series)
	for i := range details {
		w.member(details[i].name, *details[i].at(&j.Details))
	}
	w.member("issued_at", j.IssuedAt.UTC().Format(time.RFC3339Nano))
	w.member("currency", j.Currency)
	if j.Terms != nil {
		w.members(termsFields, j.Terms)
	}
	separator := `,"lines":[`
	for i := range j.Lines {
		w.raw(separator)
		w.line(&j.Lines[i])
		separator = ","
	}
	w.raw("]")
	if len(j.Metadata) > 0 {
		separator = `,"metadata":{`
		for _, key := range slices.Sorted(maps.Keys(j.Metadata)) {
			w.raw(separator)
			w.text(key)
			w.raw(":")
			w.text(j.Metadata[key])
			separator = ","
		}
		w.raw("}")
	}
	w.raw("}")
}

// line writes decimals as strings, so that no reader on the way converts them to floats.
func (w *writer) line(l *Line) {
	w.raw(`{"quantity":"`)
	w.json = l.Quantity.Append(w.json)
	w.raw(`","unit_price":"`)
	w.json = l.UnitPrice.Append(w.json)
	w.raw(`"`)
	w.member("sku", l.SKU)
	w.member("description", l.Description)
	if !l.DiscountPercent.IsZero() {
		w.member("discount_percent", l.DiscountPercent.String())
	}
	if l.TaxPercent != nil {
		w.member("tax_percent", l.TaxPercent.String())
	}
	if l.Terms != nil {
		w.members(lineFields, l.Terms)
	}
	w.raw("}")
}

func (w *writer) members(described *fields.Object, of any) {
	json, err := described.AppendMembers(w.json, of, fields.All)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.json = json
}

// member adds a further member to an object, unless it is absent.
func (w *writer) member(name, value string) {
	if value == "" {
		return
	}
	w.raw(`,"`)
	w.raw(name)
	w.raw(`":`)
	w.text(value)
}

func (w *writer) raw(json string) { w.json = append(w.json, json...) }

func (w *writer) text(s string) {
	json, err := jsontext.AppendQuote(w.json, s)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.json = json
}
