//go:build unix

package documents_test

import (
	"io"
	"os"
	"testing"

	"invoicer/internal/documents"
	"invoicer/invoice/document"
)

// The index has no name while it grows, so that nothing of it is left by a process that is killed.
func TestTheIndexHasNoName(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := list{n: 1, of: numbered}
	l.fail = func(int64) error {
		if there, err := os.ReadDir(folder); err != nil || len(there) > 0 {
			t.Errorf("%v is there, %v", there, err)
		}
		return nil
	}
	sum, err := (&documents.Export{Issues: l, Getter: l, Formats: []document.Format{document.AsPDF}, Folder: folder}).Write(t.Context(), io.Discard)
	if err != nil || sum.Files != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}
