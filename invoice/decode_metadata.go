package invoice

func (d *decoder) readMetadata() error {
	const mustBeStrings = "must be an object that holds nothing but strings"
	switch d.tokens.PeekKind() {
	case '{':
	case 'n':
		return d.tokens.SkipValue()
	default:
		return d.refuse(mustBeStrings)
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	metadata := d.at
	values := make(map[string]string)
	for d.tokens.PeekKind() != '}' {
		raw, err := d.tokens.ReadValue()
		if err != nil {
			return err
		}
		key, ok := unquoted(raw)
		d.at = place{group: inMetadata, name: string(key)}
		if !ok {
			err = d.refuse(mustBeText)
		} else if _, twice := values[d.at.name]; twice {
			err = d.refuse(isTwice)
		} else if d.tokens.PeekKind() != '"' {
			err = d.refuse("must be a string")
		} else {
			values[d.at.name], _, err = d.text()
		}
		if err != nil {
			return err
		}
	}
	if d.at = metadata; len(values) > 0 {
		d.job.Metadata = values
	}
	_, err := d.tokens.ReadToken()
	return err
}
