package main

// ofDocuments are mistakes in what is handed out.
func ofDocuments() []mutant {
	const migration, theStore, theAudit = "migrations/00048_documents.sql", "./invoice/postgres", "./invoice/postgres/audit"
	const places, objects = "migrations/00050_document_places.sql", "invoice/postgres/objects.go"
	return []mutant{
		{
			name: "a document that was handed out can be changed", promise: immutable,
			changes: []change{{places, "IF NEW.content IS NULL AND NEW.place IS NULL AND NEW IS NOT DISTINCT FROM was AND EXISTS (SELECT FROM invoices WHERE id = OLD.invoice_id AND erasure_id IS NOT NULL) THEN", "IF true THEN"}},
			in:      theStore, tests: []string{"TestTheFirstDocumentStays"},
		},
		{
			name: "an erased invoice gets a document", promise: immutable,
			changes: []change{{places, "PERFORM FROM invoices WHERE id = NEW.invoice_id AND erasure_id IS NULL FOR SHARE;", "PERFORM FROM invoices WHERE id = NEW.invoice_id FOR SHARE;"}},
			in:      theStore, tests: []string{"TestErasingTakesDocuments"},
		},
		{
			name: "erasing leaves documents", promise: immutable,
			changes: []change{{places, "WHERE erased_at IS NULL AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL);", "WHERE false;"}},
			in:      theStore, tests: []string{"TestErasingTakesDocuments"},
		},
		{
			name: "two processes make the same document", promise: classified,
			changes: []change{{"invoice/postgres/documents.go", "SET attempts = attempts + 1, due_at = now() + ? * interval '1 second' FROM due", "SET attempts = attempts + 1, due_at = due_at + 0 * ? * interval '1 second' FROM due"}},
			in:      theStore, tests: []string{"TestDocumentsAreOwed"},
		},
		{
			name: "there are two originals", promise: immutable,
			changes: []change{{migration, "CREATE UNIQUE INDEX documents_original_key ON documents (invoice_id, format) WHERE NOT copy;", "CREATE INDEX documents_original_key ON documents (invoice_id, format) WHERE NOT copy;"}},
			in:      theStore, tests: []string{"TestOneOriginal"},
		},
		{
			name: "the audit doesn't hash documents", promise: immutable,
			changes: []change{{"invoice/postgres/audit/handed_out.go", "sha256(d.content) <> d.sha256 OR octet_length(d.content) <> d.size", "octet_length(d.content) <> d.size"}},
			in:      theAudit, tests: []string{"TestHandedOut"},
		},
		{
			name: "a document's row is there without its bytes", promise: immutable,
			changes: []change{{objects, "err = s.options.Objects.Put(ctx, place, made.Content, s.Used)", "_ = s.options.Objects"}},
			in:      theStore, tests: []string{"TestDocumentsInAFolder"},
		},
		{
			name: "bytes outside of the database aren't compared with their hash", promise: immutable,
			changes: []change{{objects, "(int64(len(k.Content)) != k.Size || sha256.Sum256(k.Content) != k.SHA256)", "int64(len(k.Content)) > k.Size+1"}},
			in:      theStore, tests: []string{"TestDocumentsInAFolder"},
		},
		{
			name: "a document gets an object that nobody announced", promise: immutable,
			changes: []change{{places, "IF NEW.place IS NOT NULL THEN --", "IF false THEN --"}},
			in:      theStore, tests: []string{"TestDocumentsInAFolder", "TestDyingBetweenBytesAndRow"},
		},
		{
			name: "erasing leaves bytes outside of the database", promise: discreet,
			changes: []change{{places, "SELECT d.place, d.invoice_id, 'erased',", "SELECT d.place, d.invoice_id, 'kept',"}},
			in:      theStore, tests: []string{"TestErasingTakesObjects"},
		},
		{
			name: "bytes that are written while their invoice is erased stay", promise: discreet,
			changes: []change{{places, "state IN ('deleting', 'erased') AND written_until <= clock_timestamp();", "state IN ('deleting', 'erased');"}},
			in:      theStore, tests: []string{"TestErasingTakesObjects"},
		},
		{
			name: "an object that no document got stays", promise: discreet,
			changes: []change{{places, "o.state <> 'kept' ORDER BY", "o.state = 'erased' ORDER BY"}},
			in:      theStore, tests: []string{"TestDyingBetweenBytesAndRow", "TestObjectsOfThoseWhoWereLate"},
		},
		{
			name: "a folder that isn't mounted counts as empty", promise: discreet,
			changes: []change{{"internal/objects/folder.go", "if errors.Is(err, fs.ErrNotExist) {\n\t\treturn fmt.Errorf(\"%s has no file", "if false {\n\t\treturn fmt.Errorf(\"%s has no file"}, {"internal/objects/folder.go", "it isn't mounted, or isn't the folder that documents were written to\", f.path, mark)\n\t}\n\treturn err", "it isn't mounted, or isn't the folder that documents were written to\", f.path, mark)\n\t}\n\treturn nil"}},
			in:      "./internal/objects", tests: []string{"TestFolderThatIsntThere"},
		},
		{
			name: "the audit doesn't hash documents outside of the database", promise: immutable,
			changes: []change{{"invoice/postgres/audit/objects.go", "n != d.size || string(h.Sum(nil)) != string(d.hash)", "n != d.size"}},
			in:      theAudit, tests: []string{"TestHandedOutOfAFolder"},
		},
	}
}
