package fields

// A Description says of one field what a reader in another language, such as the database's, has to know to check it. What is false, 0
// or "" isn't stated.
type Description struct {
	N        int      `json:"n"`  // its place among the fields of its object
	Is       string   `json:"is"` // text, identifier, number, truth, object or list; package invoice has more
	Of       string   `json:"of,omitempty"`
	Like     string   `json:"like,omitempty"` // a text: which of [Formats] it has
	One      []string `json:"one,omitempty"`  // a text: which are allowed
	Most     int      `json:"most,omitempty"` // how many characters or elements
	Required bool     `json:"required,omitempty"`
	Percent  bool     `json:"percent,omitempty"`
	Filled   bool     `json:"filled,omitempty"`  // a text must not be empty
	Integer  bool     `json:"integer,omitempty"` // an identifier may be a JSON integer
	Narrow   bool     `json:"narrow,omitempty"`  // a number has narrower bounds in version 1
	Version  int      `json:"version,omitempty"` // the first that has the field, if that isn't 1
}

// Describe adds the fields of the struct, and of all structs below it, to the descriptions: by the name of the struct and that of the
// field.
func (o *Object) Describe(all map[string]map[string]Description) {
	if all[o.name] != nil {
		return
	}
	members := make(map[string]Description, len(o.fields))
	all[o.name] = members
	for i, f := range o.fields {
		members[f.name] = f.description(i)
		if f.of != nil {
			f.of.Describe(all)
		}
	}
}

func (f *field) description(i int) Description {
	d := Description{N: i, Most: f.most, Required: f.required, Percent: f.percent, One: f.one}
	switch f.kind {
	case text:
		d.Is = "text"
		switch {
		case f.format != nil && f.format.judge != nil:
			d.Is, d.Most = "identifier", identifierMost
		case f.format != nil:
			d.Like = f.like
		case f.one == nil:
			d.Most = f.longest()
		}
	case number, present:
		d.Is = "number"
	case truth:
		d.Is = "truth"
	case object:
		d.Is, d.Of = "object", f.of.name
	case list:
		d.Is, d.Of = "list", f.of.name
	}
	return d
}

// A Pattern is what a text must look like, and what is said of one that doesn't.
type Pattern struct {
	Pattern string `json:"pattern"`
	Message string `json:"message"`
}

// Formats returns what texts must look like, by the names that descriptions have for it. A date must be one of the calendar, too.
func Formats() map[string]Pattern {
	all := make(map[string]Pattern)
	for name, f := range formats {
		if f.judge == nil {
			all[name] = Pattern{Pattern: f.pattern.String(), Message: f.message}
		}
	}
	return all
}
