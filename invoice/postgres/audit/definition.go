package audit

import (
	"regexp"
	"strings"
)

// canonical returns a definition in a form that survives pg_dump, pg_restore and pg_upgrade. They make Postgres read
// a definition that it has printed, which loses the brackets around a part of a chain of ANDs or ORs. Two definitions
// with the same form have the same meaning.
func canonical(definition string) string {
	p := parser{tokens: tokens.FindAllString(definition, -1)}
	return p.list().flat(true).String()
}

// tokens matches strings, quoted names, words, operators, and any other character but white space.
var tokens = regexp.MustCompile(`[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[\pL\pN_$.]+|[-+*/<>=~!@#%^&|?:` + "`" + `]+|[^\s]`)

// A term is a token, or a group of terms in brackets.
type term struct {
	token string
	group terms // of brackets
	open  bool  // it is brackets
}

type terms []term

type parser struct{ tokens []string }

// list reads up to the closing bracket of the list, or the end.
func (p *parser) list() terms {
	var list terms
	for len(p.tokens) > 0 {
		token := p.tokens[0]
		p.tokens = p.tokens[1:]
		switch token {
		case "(":
			list = append(list, term{open: true, group: p.list()})
		case ")":
			return list
		default:
			list = append(list, term{token: token})
		}
	}
	return list
}

// flat removes brackets that change nothing: those around the whole content of other brackets, and those around a
// chain that is itself a member of a chain of the same kind.
func (t terms) flat(outermost bool) terms {
	var flat terms
	for i, one := range t {
		if !one.open {
			flat = append(flat, one)
			continue
		}
		one.group = one.group.flat(false)
		if chain := t.chainAround(i); chain != "" && one.group.isChain(chain) {
			flat = append(flat, one.group...)
		} else {
			flat = append(flat, one)
		}
	}
	if !outermost && len(flat) == 1 && flat[0].open {
		return flat[0].group
	}
	return flat
}

// chainAround returns AND or OR if the i-th term is a whole member of a chain of that kind, else "".
func (t terms) chainAround(i int) string {
	before, after := "", ""
	if i > 0 {
		before = t[i-1].token
		if t[i-1].open {
			return ""
		}
	}
	if i < len(t)-1 {
		after = t[i+1].token
		if t[i+1].open {
			return ""
		}
	}
	for _, chain := range []string{"AND", "OR"} {
		if before == chain && after == chain || before == chain && i == len(t)-1 || after == chain && i == 0 {
			return chain
		}
	}
	return ""
}

// isChain reports whether the list may join a chain of that kind without brackets: none of its operators binds less
// tightly.
func (t terms) isChain(chain string) bool {
	is := false
	for _, one := range t {
		switch one.token {
		case chain:
			is = true
		case ",", "OR":
			return false
		}
	}
	return is
}

func (t terms) String() string {
	var parts []string
	for _, one := range t {
		if one.open {
			parts = append(parts, "("+one.group.String()+")")
		} else {
			parts = append(parts, one.token)
		}
	}
	return strings.Join(parts, " ")
}
