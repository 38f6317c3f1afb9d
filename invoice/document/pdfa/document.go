package pdfa

import (
	"compress/zlib"
	"crypto/sha256"
	"sync"
	"time"
)

// Info is what is said of a document as a whole.
type Info struct {
	Title    string
	Author   string
	Subject  string
	Producer string
	Language string    // BCP 47
	Created  time.Time // what the file says of its creation; its modification is the same
}

// A File is attached to a document.
type File struct {
	Name         string // such as factur-x.xml
	Description  string
	MIMEType     string
	Relationship string // to the document: Alternative, Data, Source, Supplement or Unspecified
	Data         []byte
}

// FacturX says that an attached file is the document as Factur-X (ZUGFeRD) has it.
type FacturX struct {
	FileName string
	Version  string // 1.0
	Level    string // MINIMUM, BASIC WL, BASIC, EN 16931, EXTENDED or XRECHNUNG
}

// A Document is being made. It is of one goroutine.
type Document struct {
	info    Info
	files   []File
	facturX *FacturX
	pages   []*Page
	root    *Element
	fonts   []*subset
	images  []*Image
	keys    map[*Image]string

	w *writer
	z *zlib.Writer
}

// compressors are used again, as one takes most of a megabyte.
//
//nolint:gochecknoglobals // a pool
var compressors = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

// New begins a document.
func New(info Info) *Document {
	d := &Document{info: info, keys: make(map[*Image]string), w: &writer{}}
	d.root = &Element{kind: "Document"}
	d.z, _ = compressors.Get().(*zlib.Writer)
	return d
}

// Attach attaches a file.
func (d *Document) Attach(f File) { d.files = append(d.files, f) }

// SetFacturX has the document say that it is one of Factur-X.
func (d *Document) SetFacturX(f FacturX) { d.facturX = &f }

// Pages returns how many pages there are.
func (d *Document) Pages() int { return len(d.pages) }

// Page returns a page, from 0.
func (d *Document) Page(n int) *Page { return d.pages[n] }

// subsetOf returns what the document needs of a font.
func (d *Document) subsetOf(f *Font) *subset {
	for _, s := range d.fonts {
		if s.font == f {
			return s
		}
	}
	s := &subset{font: f, key: key("F", len(d.fonts)), numbers: make(map[rune]int)}
	d.fonts = append(d.fonts, s)
	return s
}

// Bytes ends the document, and returns it as a file. It is called once.
func (d *Document) Bytes() []byte {
	w := d.w
	catalog, info, pages := w.reserve(), w.reserve(), w.reserve()
	resources := w.reserve()
	for _, p := range d.pages {
		p.object = w.reserve()
	}
	for _, p := range d.pages {
		d.writePage(p, pages, resources)
	}
	d.writeResources(resources)
	kids := make(array, 0, len(d.pages))
	for _, p := range d.pages {
		kids = append(kids, ref(p.object))
	}
	w.object(pages, dict("Type", name("Pages"), "Count", len(d.pages), "Kids", kids))

	metadata, profile := w.reserve(), w.reserve()
	w.stream(metadata, []byte(d.xmp()), nil, "Type", name("Metadata"), "Subtype", name("XML"))
	w.stream(profile, sRGB(), d.z, "N", 3)
	intent := dict("Type", name("OutputIntent"), "S", name("GTS_PDFA1"), "OutputConditionIdentifier", text("sRGB IEC61966-2.1"),
		"RegistryName", text("http://www.color.org"), "Info", text("sRGB IEC61966-2.1"), "DestOutputProfile", ref(profile))
	fields := []any{
		"Type", name("Catalog"), "Version", name("1.7"), "Pages", ref(pages), "Metadata", ref(metadata), "OutputIntents",
		array{intent},
		"MarkInfo", dict("Marked", true), "StructTreeRoot", ref(d.writeStructure()), "Lang", text(d.info.Language),
		"ViewerPreferences", dict("DisplayDocTitle", true),
	}
	w.object(catalog, dict(append(fields, d.writeFiles()...)...))
	about := []any{"Title", text(d.info.Title), "Producer", text(d.info.Producer), "CreationDate", text(d.date()), "ModDate", text(d.date())}
	if d.info.Author != "" {
		about = append(about, "Author", text(d.info.Author))
	}
	if d.info.Subject != "" {
		about = append(about, "Subject", text(d.info.Subject))
	}
	w.object(info, dict(about...))
	hash := sha256.New()
	hash.Write(w.out)
	for _, o := range w.packed {
		hash.Write(o.body)
	}
	out := w.end(catalog, info, hash.Sum(nil)[:16], d.z)
	compressors.Put(d.z)
	d.z = nil
	return out
}

func (d *Document) date() string { return d.info.Created.UTC().Format("D:20060102150405Z") }

func (d *Document) writePage(p *Page, parent, resources int) {
	content := d.w.reserve()
	d.w.stream(content, p.content, d.z)
	d.w.object(p.object, dict("Type", name("Page"), "Parent", ref(parent), "MediaBox", array{0, 0, p.width, p.height},
		"Resources", ref(resources), "Contents", ref(content), "StructParents", p.number, "Tabs", name("S")))
}

func (d *Document) writeResources(object int) {
	var fonts, images []any
	for _, s := range d.fonts {
		fonts = append(fonts, s.key, ref(d.writeFont(s)))
	}
	for n, i := range d.images {
		images = append(images, key("I", n), ref(d.writeImage(i)))
	}
	d.w.object(object, dict("Font", dict(fonts...), "XObject", dict(images...)))
}

// writeFiles writes what is attached, and returns what the catalog says of it.
func (d *Document) writeFiles() []any {
	if len(d.files) == 0 {
		return nil
	}
	var names, associated array
	for _, f := range d.files {
		stream, spec := d.w.reserve(), d.w.reserve()
		d.w.stream(stream, f.Data, d.z, "Type", name("EmbeddedFile"), "Subtype", name(f.MIMEType),
			"Params", dict("Size", len(f.Data), "ModDate", text(d.date()), "CreationDate", text(d.date())))
		d.w.object(spec, dict("Type", name("Filespec"), "F", text(f.Name), "UF", text(f.Name), "Desc", text(f.Description),
			"AFRelationship", name(f.Relationship), "EF", dict("F", ref(stream), "UF", ref(stream))))
		names, associated = append(names, text(f.Name), ref(spec)), append(associated, ref(spec))
	}
	return []any{"Names", dict("EmbeddedFiles", dict("Names", names)), "AF", associated, "PageMode", name("UseNone")}
}
