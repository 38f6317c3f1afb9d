package audit

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		one, other string
		same       bool
	}{
		"BETWEEN, restored": {
			"CHECK ((((p >= (0)::numeric) AND (p <= (100)::numeric)) AND (scale(p) <= 6)))",
			"CHECK (((p >= (0)::numeric) AND (p <= (100)::numeric) AND (scale(p) <= 6)))", true,
		},
		"at the end of a chain": {"CHECK ((a AND (b AND c)))", "CHECK ((a AND b AND c))", true},
		"a chain of ORs":        {"CHECK (((a OR b) OR c))", "CHECK ((a OR b OR c))", true},
		"brackets in brackets":  {"CHECK (((a)))", "CHECK ((a))", true},
		"in CASE": {
			"CHECK (CASE WHEN ((a AND b) AND c) THEN d ELSE e END)", "CHECK (CASE WHEN (a AND b AND c) THEN d ELSE e END)", true,
		},
		"white space": {"CHECK ((a  AND\n b))", "CHECK ((a AND b))", true},

		"another bound":           {"CHECK (((p >= 0) AND (p <= 100)))", "CHECK (((p >= 0) AND (p <= 101)))", false},
		"OR in AND":               {"CHECK (((a OR b) AND c))", "CHECK ((a OR b AND c))", false},
		"OR beside AND in AND":    {"CHECK (((a OR b AND c) AND d))", "CHECK ((a OR b AND c AND d))", false},
		"AND for OR":              {"CHECK ((a AND b))", "CHECK ((a OR b))", false},
		"NOT of all":              {"CHECK ((NOT (a AND b)))", "CHECK ((NOT a AND b))", false},
		"another order":           {"CHECK (((a - b) - c))", "CHECK ((a - (b - c)))", false},
		"brackets in a string":    {"CHECK ((a = '((x AND y) AND z)'))", "CHECK ((a = '(x AND y AND z)'))", false},
		"a quote in a string":     {"CHECK ((a = 'it''s ((b AND c) AND d'))", "CHECK ((a = 'it''s (b AND c AND d'))", false},
		"a backslash in a string": {`CHECK ((a = E'\'((b AND c) AND d)'))`, `CHECK ((a = E'\'(b AND c AND d)'))`, false},
		"white space in a string": {"CHECK ((a = 'x  y'))", "CHECK ((a = 'x y'))", false},
		"two operators":           {"CHECK ((a <@ b))", "CHECK ((a < @ b))", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if one, other := canonical(test.one), canonical(test.other); (one == other) != test.same {
				t.Errorf("%s\n%s", one, other)
			}
		})
	}
}

// A condition is a tree of AND, OR and NOT over four truths.
type condition struct {
	operator string // AND, OR, NOT, or a name
	of       []condition
}

func drawCondition(r *rand.Rand, depth int) condition {
	operators := []string{"a", "b", "c", "d", "AND", "OR", "NOT"}
	if depth == 0 {
		operators = operators[:4]
	}
	c := condition{operator: operators[r.IntN(len(operators))]}
	parts := map[string]int{"AND": 2 + r.IntN(2), "OR": 2 + r.IntN(2), "NOT": 1}[c.operator]
	for range parts {
		c.of = append(c.of, drawCondition(r, depth-1))
	}
	return c
}

// String is as Postgres prints it: with brackets around everything that is made of parts.
func (c condition) String() string {
	if len(c.of) == 0 {
		return c.operator
	}
	var parts []string
	for _, one := range c.of {
		parts = append(parts, one.String())
	}
	if c.operator == "NOT" {
		return "(NOT " + parts[0] + ")"
	}
	return "(" + strings.Join(parts, " "+c.operator+" ") + ")"
}

func (c condition) holds(truths int) bool {
	switch c.operator {
	case "AND", "OR":
		for _, one := range c.of {
			if one.holds(truths) == (c.operator == "OR") {
				return c.operator == "OR"
			}
		}
		return c.operator == "AND"
	case "NOT":
		return !c.of[0].holds(truths)
	default:
		return truths>>(c.operator[0]-'a')&1 == 1
	}
}

// What has one form means one thing.
func TestCanonicalKeepsTheMeaning(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	meanings := make(map[string]int) // a bit for each row of the truth table
	shared := 0
	for range 50_000 {
		c := drawCondition(r, 3)
		meaning := 0
		for truths := range 16 {
			if c.holds(truths) {
				meaning |= 1 << truths
			}
		}
		text := "CHECK (" + c.String() + ")"
		form := canonical(text)
		if known, ok := meanings[form]; ok && known != meaning {
			t.Fatalf("%s has two meanings", form)
		}
		if _, ok := meanings[form]; ok && form != text {
			shared++
		}
		meanings[form] = meaning
	}
	if shared == 0 {
		t.Error("no two conditions had the same form")
	}
}
