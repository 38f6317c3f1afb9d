package invoice

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Encode spells a job as JSON, for a service that builds its jobs in Go. A Version of 0 means [TaskVersion]. The job is
// held to the rules of [Decode], and decoding the result gives an equal job with the same fingerprint, its defaults
// filled in and its time in UTC.
//
// It returns an [*InvalidError] that names every bad field. The fields are named as in JSON; payload means that the JSON
// is longer than [MaxPayload].
func (j *Job) Encode() ([]byte, error) {
	complete := *j
	if complete.Version == 0 {
		complete.Version = TaskVersion
	}
	var p problems
	complete.validate(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	payload := complete.appendJSON(nil)
	if len(payload) > MaxPayload {
		p.add(wholePayload, fmt.Sprintf("has %s bytes and must not have more than %s", grouped(len(payload)), grouped(MaxPayload)))
		return nil, p.err()
	}
	return payload, nil
}

func (j *Job) appendJSON(b []byte) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, int64(j.Version), 10)
	b = appendMember(b, "transaction_id", j.TransactionID)
	b = appendMember(b, "idempotency_key", j.IdempotencyKey)
	b = appendMember(b, "producer", j.Producer)
	b = appendMember(b, "series", j.Series)
	b = appendMember(b, "credits_transaction_id", j.CreditsTransactionID)
	b = appendMember(b, "customer_id", j.CustomerID)
	b = appendMember(b, "customer_name", j.CustomerName)
	b = appendMember(b, "country", j.Country)
	b = appendMember(b, "issued_at", j.IssuedAt.UTC().Format(time.RFC3339Nano))
	b = appendMember(b, "currency", j.Currency)
	b = append(b, `,"lines":[`...)
	for i := range j.Lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = j.Lines[i].appendJSON(b)
	}
	b = append(b, ']')
	if len(j.Metadata) > 0 {
		separator := `,"metadata":{`
		for _, key := range slices.Sorted(maps.Keys(j.Metadata)) {
			b = append(b, separator...)
			b = appendString(b, key)
			b = append(b, ':')
			b = appendString(b, j.Metadata[key])
			separator = ","
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendJSON spells the decimals as strings, which no reader on the way takes for floats.
func (l *Line) appendJSON(b []byte) []byte {
	b = append(b, `{"quantity":"`...)
	b = l.Quantity.append(b)
	b = append(b, `","unit_price":"`...)
	b = l.UnitPrice.append(b)
	b = append(b, '"')
	b = appendMember(b, "sku", l.SKU)
	b = appendMember(b, "description", l.Description)
	if l.DiscountPercent != 0 {
		b = appendMember(b, "discount_percent", l.DiscountPercent.String())
	}
	if l.TaxPercent != nil {
		b = appendMember(b, "tax_percent", l.TaxPercent.String())
	}
	return append(b, '}')
}

// appendMember adds a further member to an object, unless it is absent.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value)
}

func appendString(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		panic("invoice: text that was found valid can't be quoted: " + err.Error())
	}
	return b
}
