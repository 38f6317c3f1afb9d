package checker

// Figures are what the oracle makes of a job, and Content is what its invoice has to say; the error tells why it can be none.
func Figures(payload []byte) (figures, content []string, err error) {
	r := newRequest(Job{Payload: payload})
	return r.figures, r.content, r.invalid
}

// Stored is what of the content is stored in two parts.
func Stored(public, personal []byte) string { return merged(string(public), string(personal)) }
