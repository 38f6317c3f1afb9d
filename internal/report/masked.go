package report

import (
	"bytes"
	"encoding/json"
)

// Masked is JSON in which persons may stand. It shows which fields there are, and none of their texts.
type Masked []byte

// mask stands instead of each text.
const mask = `"…"`

// MarshalJSON returns the JSON with a mask in the place of each text.
func (m Masked) MarshalJSON() ([]byte, error) {
	if len(m) == 0 {
		return []byte("null"), nil
	}
	return masked(bytes.TrimSpace(m))
}

func masked(value json.RawMessage) ([]byte, error) {
	switch value[0] {
	case '{':
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			return nil, err
		}
		for name, member := range members {
			to, err := masked(member)
			if err != nil {
				return nil, err
			}
			members[name] = to
		}
		return json.Marshal(members)
	case '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			return nil, err
		}
		for i, element := range elements {
			to, err := masked(element)
			if err != nil {
				return nil, err
			}
			elements[i] = to
		}
		return json.Marshal(elements)
	default:
		return []byte(mask), nil
	}
}
