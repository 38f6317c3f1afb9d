package embedded_test

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"invoicer/invoice/document/embedded"
)

// hostile is a PDF without a table of its objects.
func hostile(write func(b *bytes.Buffer)) []byte {
	b := bytes.NewBufferString("%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n")
	write(b)
	b.WriteString("\ntrailer<</Root 1 0 R>>\n")
	return b.Bytes()
}

// overlapping is a PDF with n files, all of which end where the last one does, so that each has nearly all of the bytes.
func overlapping(n, bytesOfAll int, dict string) []byte {
	return hostile(func(b *bytes.Buffer) {
		for k := range n {
			fmt.Fprintf(b, "%d 0 obj<</F(a%d.xml)/EF<</F %d 0 R>>>>endobj\n", 2+2*k, k, 3+2*k)
		}
		end := b.Len() + bytesOfAll
		for k := range n {
			before := fmt.Sprintf("%d 0 obj<<%s/Length ", 3+2*k, dict)
			const digits, behind = 8, len(">>stream\n")
			fmt.Fprintf(b, "%s%0*d>>stream\n", before, digits, end-b.Len()-len(before)-digits-behind)
		}
		b.WriteString(strings.Repeat("a", end-b.Len()) + "\nendstream endobj")
	})
}

// allocated is how many bytes of memory f takes in all, whatever is freed meanwhile. Nothing else may run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Memory goes by how big a file is, not by what it states.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // it measures memory, which is the process's
	packed := deflated("\x02\x01\x01\x01")
	for name, content := range map[string][]byte{
		"rows that are stated to be long": hostile(func(b *bytes.Buffer) {
			for k := range 100 {
				fmt.Fprintf(b, "%d 0 obj<</Type/ObjStm/N 1/First 1/Length %d/Filter/FlateDecode/DecodeParms<</Predictor 12/Colors 32/BitsPerComponent 32/Columns 1048576>>>>"+
					"stream\n%s\nendstream endobj\n", k+2, len(packed), packed)
			}
		}),
		"one name of many files": hostile(func(b *bytes.Buffer) {
			fmt.Fprintf(b, "2 0 obj(%s)endobj\n", strings.Repeat("\xe9", 1<<20))
			for k := range 500 {
				fmt.Fprintf(b, "%d 0 obj<</UF 2 0 R/EF<</F %d 0 R>>>>endobj %d 0 obj<</Length 0>>stream\nendstream endobj\n", 3+2*k, 4+2*k, 4+2*k)
			}
		}),
		"many files": hostile(func(b *bytes.Buffer) {
			for k := range 20_000 {
				fmt.Fprintf(b, "%d 0 obj<</UF(%0500d)/EF<</F %d 0 R>>>>endobj %d 0 obj<</Length 0>>stream\nendstream endobj\n", 3+2*k, k, 4+2*k, 4+2*k)
			}
		}),
		"empty dictionaries": hostile(func(b *bytes.Buffer) { b.WriteString("2 0 obj[" + strings.Repeat("<<>>", 4<<20) + "]endobj") }),
		"dictionaries":       hostile(func(b *bytes.Buffer) { b.WriteString("2 0 obj[" + strings.Repeat("<</A 1>>", 2<<20) + "]endobj") }),
	} {
		took := allocated(func() {
			if pdf, err := embedded.Read(content); err == nil && len(pdf.Files) > embedded.MostFiles {
				t.Errorf("%s: %d files", name, len(pdf.Files))
			}
		})
		if most := uint64(400<<20 + 4*len(content)); took > most {
			t.Errorf("%s: a file of %d bytes takes %d bytes of memory", name, len(content), took)
		}
	}
}

// What a file keeps small by letting its parts stand on the same bytes counts each time that it is read.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	const most = 300 << 20
	for name, dict := range map[string]string{"as they stand": "", "hexadecimal": "/Filter/AHx", "ASCII85": "/Filter/A85", "compressed": "/Filter/Fl"} {
		pdf, err := embedded.Read(overlapping(100, 10<<20, dict))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(pdf.Files) != 100 {
			t.Errorf("%s: %d files", name, len(pdf.Files))
		}
		var read, refused int
		for n := range pdf.Files {
			content, err := pdf.Files[n].Content()
			if err != nil {
				refused++
				continue
			}
			read += len(content)
		}
		if refused == 0 || read > most {
			t.Errorf("%s: %d bytes were read, and %d files refused", name, read, refused)
		}
	}
}

// No filter makes more of a stream than [embedded.MostStream].
func TestFiltersAreBounded(t *testing.T) {
	t.Parallel()
	zs := strings.Repeat("z", embedded.MostStream/4+1)
	for name, content := range map[string][]byte{
		"ASCII85": hostile(func(b *bytes.Buffer) {
			fmt.Fprintf(b, "2 0 obj<</F(a)/EF<</F 3 0 R>>>>endobj 3 0 obj<</Filter/A85/Length %d>>stream\n%s\nendstream endobj", len(zs), zs)
		}),
		"ASCII85 behind it": hostile(func(b *bytes.Buffer) {
			fmt.Fprintf(b, "2 0 obj<</F(a)/EF<</F 3 0 R>>>>endobj 3 0 obj<</Filter[/Fl/A85]>>stream\n%s\nendstream endobj", deflated(zs))
		}),
	} {
		if _, got := files(t, content); !strings.Contains(got, "bigger than") {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

// Objects that each need another one to be read don't take the stack.
func TestDepthIsBounded(t *testing.T) { //nolint:paralleltest // it bounds the stacks of the process
	defer debug.SetMaxStack(debug.SetMaxStack(8 << 20))
	for _, one := range []string{
		"%d 0 obj<</Length %d 0 R>>stream\n",
		"%d 0 obj<</Type/ObjStm/First 5/N %d 0 R/Length 0>>stream\nendstream endobj\n",
	} {
		_, _ = embedded.Read(hostile(func(b *bytes.Buffer) {
			for k := range 30_000 {
				fmt.Fprintf(b, one, k+2, k+3)
			}
			b.WriteString("endstream")
		})) // it ends
	}
}

// A big file that is honest is read, also where its table is broken: the bounds are for what is kept of it.
func TestManyObjectsAreRead(t *testing.T) {
	t.Parallel()
	content := hostile(func(b *bytes.Buffer) {
		const streams, inEach = 1500, 100
		for k := range streams {
			var index, bodies strings.Builder
			for n := range inEach {
				fmt.Fprintf(&index, "%d %d ", 10+k*inEach+n, bodies.Len())
				fmt.Fprintf(&bodies, "<</Type/StructElem/S/P/P 2 0 R/K[%d]/Pg 2 0 R/A<</O/Layout/Placement/Block>>>> ", n)
			}
			data := deflated(index.String() + bodies.String())
			fmt.Fprintf(b, "%d 0 obj<</Type/ObjStm/N %d/First %d/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n", 200_000+k, inEach, index.Len(), len(data), data)
		}
		b.WriteString("2 0 obj<</F(a.xml)/EF<</F 3 0 R>>>>endobj 3 0 obj<</Length 4>>stream\n<a/>\nendstream endobj 1 0 obj<</Type/Catalog/AF[2 0 R]>>endobj")
	})
	if _, got := files(t, content); got != "a.xml   <a/>" {
		t.Error(got)
	}
}
