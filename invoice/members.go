package invoice

import (
	"maps"
	"slices"

	"invoicer/invoice/fields"
)

// A member is a field of a job or of a line that version 1 has, too: the decoder reads it by what stands here, and [Schema] and
// [Description] tell of it. What only version 2 has is described by tags instead: see [Terms].
type member[T any] struct {
	name   string
	about  string // what the schema says of it, beside what it may hold
	is     fields.Description
	schema func(is *fields.Description) object
	read   func(d *decoder, of *T) error // while the decoder stands before the value
}

// Their order is that of the numbers in [Description].
//
//nolint:gochecknoglobals // lists that nothing changes
var (
	jobMembers = append(detailMembers(),
		member[Job]{
			"version", "of this format; default 1",
			fields.Description{Is: "version"},
			versionSchema,
			func(d *decoder, _ *Job) error { return d.readVersion() },
		},
		identifierOf("transaction_id", "what is invoiced",
			fields.Description{Most: maxTransactionID, Required: true}, func(j *Job) *string { return &j.TransactionID }),
		identifierOf("idempotency_key", "the producer's own key for the invoice; default: the transaction_id",
			fields.Description{Most: maxIdempotencyKey}, func(j *Job) *string { return &j.IdempotencyKey }),
		textOf("producer", "the service that asks",
			fields.Description{Like: "producer", Filled: true}, func(j *Job) *string { return &j.Producer }),
		textOf("issuer", "the legal entity that issues the invoice; \"\" is the one without a name",
			fields.Description{Like: "series"}, func(j *Job) *string { return &j.Issuer }),
		textOf("series", "the series that numbers the invoice",
			fields.Description{Like: "series", Filled: true}, func(j *Job) *string { return &j.Series }),
		member[Job]{
			"issued_at", "the transaction's time, in whole microseconds; a retry repeats it",
			fields.Description{Is: "instant", Required: true},
			instantSchema,
			func(d *decoder, j *Job) (err error) { j.IssuedAt, err = d.time(); return err },
		},
		member[Job]{
			"currency", "an ISO 4217 code, in capitals or in small letters",
			fields.Description{Is: "currency", Required: true, Filled: true},
			currencySchema,
			func(d *decoder, j *Job) (err error) { j.Currency, err = d.currency(); return err },
		},
		member[Job]{
			"lines", "what is sold",
			fields.Description{Is: "lines", Of: "Line", Most: MaxLines},
			linesSchema,
			func(d *decoder, _ *Job) error { return d.readLines() },
		},
		member[Job]{
			"metadata", "stored with the invoice; no part of its content",
			fields.Description{Is: "metadata"},
			metadataSchema,
			func(d *decoder, _ *Job) error { return d.readMetadata() },
		},
	)

	lineMembers = []member[Line]{
		textOf("sku", "the article", fields.Description{}, func(l *Line) *string { return &l.SKU }),
		textOf("description", "of the article", fields.Description{}, func(l *Line) *string { return &l.Description }),
		numberOf("quantity", "may be negative", fields.Description{Required: true}, func(l *Line) *Decimal { return &l.Quantity }),
		numberOf("unit_price", "net of tax, unless prices is gross", fields.Description{Required: true}, func(l *Line) *Decimal { return &l.UnitPrice }),
		numberOf("discount_percent", "taken off quantity × unit_price; default 0", fields.Description{Percent: true}, func(l *Line) *Decimal { return &l.DiscountPercent }),
		statedNumberOf("tax_percent", "absent: the rate isn't stated, which is not 0", fields.Description{Percent: true}, func(l *Line) **Decimal { return &l.TaxPercent }),
	}

	jobNames       = namesOf(jobMembers, termsFields)
	lineNames      = namesOf(lineMembers, lineFields)
	requiredOfLine = required(lineMembers)
)

// detailMembers are the members of a job that are [Details].
func detailMembers() []member[Job] {
	var all []member[Job]
	for i := range details {
		one := &details[i]
		value := func(j *Job) *string { return one.at(&j.Details) }
		if one.identifier > 0 {
			all = append(all, identifierOf(one.name, one.about, fields.Description{Most: one.identifier}, value))
		} else {
			all = append(all, textOf(one.name, one.about, fields.Description{}, value))
		}
	}
	return all
}

// identifierOf returns a member that holds an identifier, which must not be empty and may be a JSON integer.
func identifierOf[T any](name, about string, is fields.Description, at func(*T) *string) member[T] {
	is.Is, is.Filled, is.Integer = "identifier", true, true
	return member[T]{name, about, is, identifierSchema, func(d *decoder, of *T) (err error) {
		*at(of), err = d.identifier(is.Most)
		return err
	}}
}

// textOf returns a member that holds a text.
func textOf[T any](name, about string, is fields.Description, at func(*T) *string) member[T] {
	is.Is = "text"
	read := func(d *decoder, of *T) (err error) {
		*at(of), _, err = d.text()
		return err
	}
	if is.Filled {
		read = func(d *decoder, of *T) (err error) {
			*at(of), err = d.code()
			return err
		}
	}
	return member[T]{name, about, is, textSchema, read}
}

// numberOf returns a member that holds a number. An absent one is 0.
func numberOf[T any](name, about string, is fields.Description, at func(*T) *Decimal) member[T] {
	is.Is, is.Narrow = "number", true
	return member[T]{name, about, is, numberSchema, func(d *decoder, of *T) (err error) {
		*at(of), _, err = d.decimal()
		return err
	}}
}

// statedNumberOf returns a member that holds a number. An absent one is nil.
func statedNumberOf[T any](name, about string, is fields.Description, at func(*T) **Decimal) member[T] {
	one := numberOf[T](name, about, is, nil)
	one.read = func(d *decoder, of *T) error {
		value, present, err := d.decimal()
		if present {
			*at(of) = &value
		}
		return err
	}
	return one
}

// namesOf returns the names of all members of an object: first these, and then those that only version 2 has.
func namesOf[T any](members []member[T], terms *fields.Object) fields.Names {
	var names []string
	for i := range members {
		names = append(names, members[i].name)
	}
	return fields.NewNames(slices.Concat(names, terms.Names().All()))
}

// required returns the set of the members that have to be stated, as the bits of their indexes.
func required[T any](members []member[T]) (set uint64) {
	for i := range members {
		if members[i].is.Required {
			set |= 1 << i
		}
	}
	return set
}

// descriptions returns what the members are, by their names.
func descriptions[T any](members []member[T]) map[string]fields.Description {
	all := make(map[string]fields.Description, len(members))
	for i := range members {
		all[members[i].name] = members[i].is
	}
	return all
}

// schemas returns the JSON Schemas of all members of an object, by their names.
func schemas[T any](members []member[T], terms *fields.Object) object {
	all := make(object, len(members))
	for i := range members {
		one := &members[i]
		what := one.schema(&one.is)
		what["description"] = one.about
		all[one.name] = what
	}
	maps.Copy(all, terms.Schema())
	return all
}
