package invoice

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/invoice/fields"
)

// A Record is an invoice as its link in the chain covers it: all that is stored of it, except the ids by which the tables
// refer to each other.
//
// What is covered falls in two forms. The texts in which a person may stand, and whatever such a text could be guessed
// from, are hashed together with a salt of their own: see [Hasher.Texts]. That hash is stored, so that the chain can still
// be verified when texts and salt are gone. Everything else is hashed as it is, together with the hash of the texts: see
// [Hasher.Digest].
type Record struct {
	Slot    Slot // Version is 0 if it isn't stored
	Number  int64
	Printed string // the number as printed

	Job         *Job // its content, with lines, key, producer and metadata
	JobID       string
	Fingerprint string
	Totals      *Totals // Kind isn't used, since the slot has it
	Positions   []int64 // of the lines; nil for 1, 2, 3 …

	CreatedAt     string // as [StoredTime] returns it
	AcceptedAt    string // the same; "" if the ledger didn't accept its job
	WorkerVersion string

	SettingsVersion int    // 0 if it isn't stored
	IssuerVersion   int    // of what was known of the issuer, if that is the seller; else 0
	DocumentDate    string // the day of issue, as 2010-12-01; "" if issued_at is the document's date
	ContentHash     int64  // as [Job.ContentHash] returns it; 0 for none
}

// A Hash is a SHA-256.
type Hash [sha256.Size]byte

// SaltSize is the number of random bytes with which the texts of a record are hashed.
const SaltSize = 16

// The first bytes that are hashed say what is hashed, and in which form.
const (
	textsForm = "invoicer texts v1\n"
	digestOf  = "invoicer invoice v1\n"
	linkForm  = "invoicer chain v1\n"
)

// StoredTime returns a time as it is hashed: in UTC, as 2010-12-01T08:26:00.000000Z, always with six decimals.
func StoredTime(t time.Time) string { return t.UTC().Format(storedTime) }

// A Hasher hashes records. The zero value is ready to use; it isn't safe for concurrent use.
type Hasher struct {
	b    []byte
	keys []string
}

// Hashed returns what was hashed last, until the next call.
func (h *Hasher) Hashed() []byte { return h.b }

// Texts hashes the texts of a record in which a person may stand. It is the SHA-256 of the line "invoicer texts v1", the
// salt, and these fields in the form of [Job.Fingerprint]:
//
//	fingerprint
//	content_hash
//	producer
//	customer_id, customer_name, country
//	number of metadata      and for each, in the order of their keys' bytes: key, value
//	number of lines         and for each, in order: sku, description
//
// A text of a later release follows, if it is present, as its name and itself. So a record without it keeps its hash. Where the job
// states more than version 1 knows, "terms" follows, and of that what a person may stand in, as in [Job.Fingerprint].
func (h *Hasher) Texts(r *Record, salt []byte) Hash {
	b := append(append(h.b[:0], textsForm...), salt...)
	b = appendField(b, r.Fingerprint)
	b = appendCount(b, r.ContentHash)
	b = appendField(b, r.Job.Producer)
	for i := range details {
		if details[i].identifier == 0 && !details[i].later {
			b = appendField(b, *details[i].at(&r.Job.Details))
		}
	}
	b = appendInteger(b, int64(len(r.Job.Metadata)))
	h.keys = h.keys[:0]
	for key := range r.Job.Metadata {
		h.keys = append(h.keys, key)
	}
	slices.Sort(h.keys)
	for _, key := range h.keys {
		b = fields.AppendText(fields.AppendText(b, key), r.Job.Metadata[key]) // an empty text isn't an absent one
	}
	b = appendInteger(b, int64(len(r.Job.Lines)))
	for i := range r.Job.Lines {
		b = appendField(b, r.Job.Lines[i].SKU)
		b = appendField(b, r.Job.Lines[i].Description)
	}
	b = appendLater(b, &r.Job.Details, false)
	h.b = r.appendTerms(b, fields.Personal)
	return sha256.Sum256(h.b)
}

// appendTerms appends a part of what the job states beyond version 1, if it states any.
func (r *Record) appendTerms(b []byte, part fields.Part) []byte {
	named := appendField(b, "terms")
	if all := r.Job.appendTerms(named, part); len(all) > len(named) {
		return all
	}
	return b
}

// Digest hashes a record, given the hash of its texts. It is the SHA-256 of the line "invoicer invoice v1", the 32 bytes of
// that hash, and these fields in the form of [Job.Fingerprint]:
//
//	invoice_number
//	series
//	period
//	number
//	series_version          absent if the invoice has none
//	kind
//	transaction_id
//	idempotency_key
//	job_id
//	requested_series
//	credits_transaction_id
//	issued_at               in UTC, as 2010-12-01T08:26:00.000000Z, always with six decimals
//	created_at              the same: when the transaction began that wrote the invoice
//	accepted_at             the same, absent if the ledger didn't accept the job
//	worker_version
//	currency
//	subtotal_minor, tax_minor, total_minor
//	number of lines         and for each, in order: position, quantity, unit_price, discount_percent, tax_percent, net_minor
//	number of taxes         and for each, in order: tax_percent, net_minor, tax_minor
//	settings_version        where it is present, after its name
//	document_date           where it is present, after its name
//	issuer                  where it is present, after its name
//	issuer_version          where it is present, after its name
//
// A field of a later release follows, if it is present, as its name and itself. So a record without it keeps its digest. These follow
// where they are present: "terms", and of what the job states beyond version 1 all in which no person stands, as in [Job.Fingerprint];
// payable_minor after its name, if it isn't total_minor; and for each tax with a code, a category or added_minor "tax_row", its place
// from 1, and these three.
func (h *Hasher) Digest(r *Record, texts Hash) Hash {
	b := append(append(h.b[:0], digestOf...), texts[:]...)
	b = appendField(b, r.Printed)
	b = appendField(b, r.Slot.Series)
	b = appendField(b, r.Slot.Period)
	b = appendInteger(b, r.Number)
	b = appendCount(b, int64(r.Slot.Version))
	b = appendField(b, string(r.Slot.Kind))
	b = appendField(b, r.Job.TransactionID)
	b = appendField(b, r.Job.IdempotencyKey)
	b = appendField(b, r.JobID)
	b = appendField(b, r.Job.Series)
	for i := range details {
		if details[i].identifier > 0 && !details[i].later {
			b = appendField(b, *details[i].at(&r.Job.Details))
		}
	}
	b = appendTime(b, r.Job.IssuedAt)
	b = appendField(b, r.CreatedAt)
	b = appendField(b, r.AcceptedAt)
	b = appendField(b, r.WorkerVersion)
	b = appendField(b, r.Job.Currency)
	b = appendInteger(b, r.Totals.Subtotal)
	b = appendInteger(b, r.Totals.Tax)
	b = appendInteger(b, r.Totals.Total)
	b = r.appendAmounts(b)
	if r.SettingsVersion != 0 {
		b = appendInteger(appendField(b, "settings_version"), int64(r.SettingsVersion))
	}
	if r.DocumentDate != "" {
		b = appendField(appendField(b, "document_date"), r.DocumentDate)
	}
	if r.Slot.Issuer != "" {
		b = appendField(appendField(b, "issuer"), r.Slot.Issuer)
	}
	if r.IssuerVersion != 0 {
		b = appendInteger(appendField(b, "issuer_version"), int64(r.IssuerVersion))
	}
	b = appendLater(b, &r.Job.Details, true)
	b = r.appendTerms(b, fields.Public)
	if r.Totals.Payable != r.Totals.Total {
		b = appendInteger(appendField(b, "payable_minor"), r.Totals.Payable)
	}
	for i := range r.Totals.Taxes {
		if t := &r.Totals.Taxes[i]; t.Code != "" || t.Category != "" || t.Added != 0 {
			b = appendInteger(appendField(b, "tax_row"), int64(i+1))
			b = appendInteger(appendField(appendField(b, t.Code), t.Category), t.Added)
		}
	}
	h.b = b
	return sha256.Sum256(h.b)
}

func (r *Record) appendAmounts(b []byte) []byte {
	b = appendInteger(b, int64(len(r.Job.Lines)))
	for i := range r.Job.Lines {
		l := &r.Job.Lines[i]
		if r.Positions == nil {
			b = appendInteger(b, int64(i+1))
		} else {
			b = appendInteger(b, r.Positions[i])
		}
		b = appendDecimalField(b, l.Quantity)
		b = appendDecimalField(b, l.UnitPrice)
		b = appendDecimalField(b, l.DiscountPercent)
		if l.TaxPercent == nil {
			b = appendField(b, "")
		} else {
			b = appendDecimalField(b, *l.TaxPercent)
		}
		b = appendInteger(b, r.Totals.LineNets[i])
	}
	b = appendInteger(b, int64(len(r.Totals.Taxes)))
	for i := range r.Totals.Taxes {
		t := &r.Totals.Taxes[i]
		b = appendDecimalField(b, t.Percent)
		b = appendInteger(b, t.Net)
		b = appendInteger(b, t.Tax)
	}
	return b
}

// appendLater appends the name and the text of each detail that came later and is present.
func appendLater(b []byte, d *Details, identifiers bool) []byte {
	for i := range details {
		if value := *details[i].at(d); details[i].later && value != "" && details[i].identifier > 0 == identifiers {
			b = appendField(appendField(b, details[i].name), value)
		}
	}
	return b
}

func appendInteger(b []byte, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(append(b, ':'), text...)
	return append(b, ',')
}

// appendCount is appendInteger, but for numbers of which 0 stands for absent.
func appendCount(b []byte, n int64) []byte {
	if n == 0 {
		return appendField(b, "")
	}
	return appendInteger(b, n)
}

// Link returns the link of an invoice with the given digest: the SHA-256 of the line "invoicer chain v1", the link of the
// invoice before it, and the digest. The first invoice of a chain follows on 32 zero bytes.
func Link(before, digest Hash) Hash {
	var b [len(linkForm) + 2*sha256.Size]byte
	n := copy(b[:], linkForm)
	n += copy(b[n:], before[:])
	copy(b[n:], digest[:])
	return sha256.Sum256(b[:])
}

// linkPrefix names the form of the links that this code makes.
const linkPrefix = "v1:"

// FormatLink returns a link as it is stored: v1: and 64 hexadecimal digits.
func FormatLink(link Hash) string {
	var b [len(linkPrefix) + 2*sha256.Size]byte
	copy(b[:], linkPrefix)
	hex.Encode(b[len(linkPrefix):], link[:])
	return string(b[:])
}

var errLink = errors.New("is not v1: and 64 hexadecimal digits")

// ParseLink reads a link as [FormatLink] writes it.
func ParseLink(text string) (link Hash, err error) {
	digits, ok := strings.CutPrefix(text, linkPrefix)
	if !ok {
		return link, errLink
	}
	return ParseHash(digits)
}

// ParseHash reads a hash of 64 lower-case hexadecimal digits.
func ParseHash(digits string) (hash Hash, err error) {
	if len(digits) != hex.EncodedLen(len(hash)) || strings.ToLower(digits) != digits {
		return hash, errLink
	}
	if _, err := hex.Decode(hash[:], []byte(digits)); err != nil {
		return Hash{}, errLink
	}
	return hash, nil
}
