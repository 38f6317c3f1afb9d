package document

import "strings"

// An edition is a published version of rules.
type edition struct {
	name string
	from string // the first day on which documents are issued by it, as its publisher says
}

// books returns the rules that [Lacks] and the writers follow for a profile: of each, all editions that they know, the oldest first.
func (p Profile) books() [][]edition {
	standard := []edition{{"EN 16931 1.3.16", "2026-05-15"}}
	switch p {
	case XRechnung:
		return [][]edition{{{"XRechnung 3.0.2", "2024-02-01"}}, standard} // 3.0.1 and 3.0.2 put 3.0 right, and hold from its day
	case Peppol:
		return [][]edition{{{"Peppol BIS Billing 3.0.19", "2025-08-25"}}, standard}
	case FacturX, FacturXBasic:
		return [][]edition{{{"Factur-X 1.09", "2026-07-01"}}, standard}
	case EN16931:
		return [][]edition{standard}
	default:
		return nil
	}
}

// Rules name the rules that [Lacks] and the writers follow for documents of the profile that are issued on a day, stated as YYYY-MM-DD: of
// each the newest edition that holds by then. A document that is older than all known editions is written by the oldest, and the name says from
// when that holds. It is "" for [None].
func (p Profile) Rules(issued string) string {
	var names []string
	for _, editions := range p.books() {
		names = append(names, editionOn(editions, issued))
	}
	return strings.Join(names, ", ")
}

func editionOn(editions []edition, issued string) string {
	name := editions[0].name
	if issued < editions[0].from {
		return name + " (of " + editions[0].from + ", the oldest known)"
	}
	for _, e := range editions {
		if e.from <= issued {
			name = e.name
		}
	}
	return name
}
