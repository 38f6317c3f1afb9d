package embedded

import (
	"bytes"
	"maps"
	"slices"
)

// A file is a PDF that is being read.
type file struct {
	in      []byte
	places  map[int]place
	trailer dict

	resolving map[int]bool  // objects whose lengths are being looked for
	known     map[int]any   // objects that were read
	packed    map[int][]any // what object streams hold, numbers and objects in turn
	broken    bool          // whether something isn't where the references say
	repaired  bool
	spent     cost
	decoded   int // bytes that filters made
	charged   int // bytes of streams that were read and made
	depth     int // of objects that are looked for while another one is
}

// A place is where an object stands: at an offset, or in an object stream. A free one is nowhere.
type place struct {
	free   bool
	offset int
	stream int
	index  int
}

func newFile(in []byte) *file {
	return &file{in: in, places: make(map[int]place), trailer: dict{}, resolving: make(map[int]bool), packed: make(map[int][]any), known: make(map[int]any)}
}

// exhausted reports whether more was read than any honest file asks for.
func (f *file) exhausted() bool {
	const times = 4
	return f.spent.bytes > times*(len(f.in)+f.decoded)+mostItems || f.spent.items > mostParts || f.spent.held > mostHeld || f.charged > mostTotal ||
		len(f.places) > mostItems
}

// forget lets go of the objects that were read. What is needed of them is read again.
func (f *file) forget() {
	f.trailer, f.packed, f.known = dict{}, make(map[int][]any), make(map[int]any)
}

// failure is why nothing can be read.
func (f *file) failure(or error) error {
	if f.exhausted() {
		return errEndless
	}
	return or
}

func (f *file) scanner(at int) *scanner {
	if f.exhausted() || at < 0 || at > len(f.in) {
		at = len(f.in)
	}
	return &scanner{in: f.in, at: at, spent: &f.spent}
}

// references reads all tables of references, the newest first.
func (f *file) references() {
	const tail = 2048
	from := max(0, len(f.in)-tail)
	last := bytes.LastIndex(f.in[from:], []byte("startxref"))
	if last < 0 {
		f.broken = true
		return
	}
	at, ok := f.scanner(from + last + len("startxref")).plain()
	seen := make(map[int]bool)
	for ok && !f.exhausted() {
		if seen[at] || at <= 0 || at >= len(f.in) {
			f.broken = f.broken || !seen[at]
			return
		}
		seen[at] = true
		d := f.table(at)
		if d == nil {
			f.broken = true
			return
		}
		for key, v := range d {
			if _, newer := f.trailer[key]; !newer {
				f.trailer[key] = v
			}
		}
		if hybrid, is := d["XRefStm"].(int); is && !seen[hybrid] {
			seen[hybrid] = true
			f.table(hybrid)
		}
		at, ok = d["Prev"].(int)
	}
}

// table reads a table or a stream of references, and returns its trailer, nil if there is none.
func (f *file) table(at int) dict {
	s := f.scanner(at)
	if first, is := s.object(0).(word); !is || first != "xref" {
		return f.tableStream(at)
	}
	for {
		switch first := s.object(0).(type) {
		case word:
			d, _ := s.object(0).(dict)
			if first != "trailer" {
				return nil
			}
			return d
		case int:
			if !f.section(s, first) {
				return nil
			}
		default:
			return nil
		}
	}
}

// section reads a section of a table: how many entries there are, and then offset, generation and kind of each.
func (f *file) section(s *scanner, first int) bool {
	count, ok := s.object(0).(int)
	if !ok || count < 0 || count > mostItems || first < 0 {
		return false
	}
	for n := range count {
		if f.exhausted() {
			return false
		}
		before := s.at
		offset, isOffset := s.object(0).(int)
		_, isGeneration := s.object(0).(int)
		kind, isKind := s.object(0).(word)
		if !isOffset || !isGeneration || !isKind || kind != "n" && kind != "f" {
			s.at = before // fewer entries than stated
			return true
		}
		f.place(first+n, place{free: kind == "f", offset: offset})
	}
	return true
}

func (f *file) place(number int, p place) {
	if _, newer := f.places[number]; !newer {
		f.places[number] = p
	}
}

// tableStream reads a stream of references.
func (f *file) tableStream(at int) dict {
	_, v := f.at(at)
	s, ok := v.(*stream)
	if !ok || s.dict["Type"] != name("XRef") {
		return nil
	}
	rows, err := f.decode(s)
	widths, _ := s.dict["W"].(array)
	if err != nil || len(widths) < 3 {
		return nil
	}
	var width [3]int
	for n := range width {
		width[n], _ = widths[n].(int)
		if width[n] < 0 || width[n] > 8 {
			return nil
		}
	}
	size, _ := s.dict["Size"].(int)
	index, ok := s.dict["Index"].(array)
	if !ok {
		index = array{0, size}
	}
	length := width[0] + width[1] + width[2]
	for n := 0; n+1 < len(index) && length > 0; n += 2 {
		first, _ := index[n].(int)
		count, _ := index[n+1].(int)
		for k := 0; k < count && len(rows) >= length && !f.exhausted(); k++ {
			row := rows[:length]
			rows = rows[length:]
			kind, wide, narrow := 1, number(row[width[0]:width[0]+width[1]]), number(row[width[0]+width[1]:])
			if width[0] > 0 {
				kind = number(row[:width[0]])
			}
			switch kind {
			case 0:
				f.place(first+k, place{free: true})
			case 1:
				f.place(first+k, place{offset: wide})
			case 2:
				f.place(first+k, place{stream: wide, index: narrow})
			}
		}
	}
	return s.dict
}

// number reads a number. One that is bigger than all that a PDF can have of anything is beyond, so that what is counted with it doesn't overflow.
func number(big []byte) (n int) {
	const beyond = 1 << 30
	for _, c := range big {
		n = min(n<<8|int(c), beyond)
	}
	return n
}

// numbers are those of all objects, in their order.
func (f *file) numbers() []int { return slices.Sorted(maps.Keys(f.places)) }
