package main

// Invoices prove themselves: by accident nothing changes them unseen, and once they are sealed nobody does.
func ofChain() []mutant {
	const theAudit, theSeals = "./invoice/postgres/audit", "./internal/seals"
	return []mutant{
		{
			name: "a link forgets the one before it", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/record.go", "\tn += copy(b[n:], before[:])\n", "\tn += len(before)\n"}},
			in:      "./invoice", tests: []string{"TestRecordForm"},
		},
		{
			name: "texts are hashed without salt", promise: discreet,
			changes: []change{{"invoice/postgres/chain.go", "\t_, _ = rand.Read(salts) // it never fails\n", "\tif n < 0 {\n\t\t_, _ = rand.Read(salts)\n\t}\n"}},
			in:      theStore, tests: []string{"TestLinksFollowNumbers"},
		},
		{
			name: "what a worker without chains has written is left out", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/chain.go", "if !counter.advanced || counter.head.linked ||", "if !counter.advanced || counter.head.last > 0 ||"}},
			in:      theStore, tests: []string{"TestUnlinkedInvoicesAreLinkedByTheNext"},
		},
		{
			name: "a chain that can't be read stops the numbers", promise: recovers,
			changes: []change{{"invoice/postgres/chain.go", "if errors.Is(err, errUnreadable) || broken {", "if errors.Is(err, errUnreadable) && h.last < 0 || broken {"}},
			in:      theStore, tests: []string{"TestDamagedChainsStopNobody"},
		},
		{
			name: "the audit believes a stored link", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/chain.go", "if computed != row.link.chain {", "if computed == \"\" {"}},
			in:      theAudit, tests: []string{"TestChain"},
		},
		{
			name: "the audit believes the stored hash of the texts", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/chain.go", "if [len(texts)]byte(row.link.texts) != texts {", "if texts == (invoice.Hash{}) {"}},
			in:      theAudit, tests: []string{"TestChain"},
		},
		{
			name: "the audit takes the order of ids for that of numbers", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/stored.go", `COLLATE "C", number, id`, `COLLATE "C", id`}},
			in:      theAudit, tests: []string{"TestChain"},
		},
		{
			name: "an owner who computed every chain again is believed", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/sealed.go", "hex.EncodeToString(digest[:]) != e.Digest {", "hex.EncodeToString(digest[:]) != e.Digest && row.link.chain == \"\" {"}},
			in:      theAudit, tests: []string{"TestSealsFindWhatAnOwnerDid"},
		},
		{
			name: "a removed invoice that was sealed isn't missed", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/sealed.go", "\tfor err == nil && c.sealed != nil {", "\tfor err != nil && c.sealed != nil {"}},
			in:      theAudit, tests: []string{"TestSealsFindWhatAnOwnerDid"},
		},
		{
			name: "an invoice that was put in is taken for a new one", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/sealed.go", "(*row.sequence > c.last[c.slot].Number ||", "(*row.sequence >= 0 ||"}},
			in:      theAudit, tests: []string{"TestSealsFindWhatAnOwnerDid"},
		},
		{
			name: "links that were sealed aren't compared", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/sealed.go", "!c.broken && sealed != \"\" && sealed != row.link.chain {", "!c.broken && sealed == \"-\" {"}},
			in:      theAudit, tests: []string{"TestSealsFindOtherLinks"},
		},
		{
			name: "a seal covers up what is gone", promise: immutable, hazard: anOwner,
			changes: []change{{"invoice/postgres/audit/seal.go", "if err == nil && len(gone) > 0 {", "if err == nil && len(gone) > 99 {"}},
			in:      theAudit, tests: []string{"TestSealRefuses"},
		},
		{
			name: "the seals of another database will do", promise: apart,
			changes: []change{{"invoice/postgres/audit/seal.go", "sealed != \"\" && sealed != id {", "sealed != \"\" && id == \"\" {"}},
			in:      theAudit, tests: []string{"TestSealRefuses"},
		},
		{
			name: "anybody's signature will do", promise: immutable, hazard: anOwner,
			changes: []change{{"internal/seals/folder.go", "if !ed25519.Verify(f.key, message, signed.Signature) {", "if len(signed.Signature) == 0 {"}},
			in:      theSeals, tests: []string{"TestDamage"},
		},
		{
			name: "a seal that was replaced isn't noticed", promise: immutable, hazard: anOwner,
			changes: []change{{"internal/seals/folder.go", "case s.Previous != f.last:", "case s.Previous == \"-\":"}},
			in:      theSeals, tests: []string{"TestDamage"},
		},
		{
			name: "entries aren't compared with their seal", promise: immutable, hazard: anOwner,
			changes: []change{{"internal/seals/entries.go", "hex.EncodeToString(hash.Sum(nil)) != s.SHA256 || entries", "hex.EncodeToString(hash.Sum(nil)) == s.Previous || entries"}},
			in:      theSeals, tests: []string{"TestDamage"},
		},
		{
			name: "of two seals at once the later one takes the place of the other", promise: immutable, hazard: anOwner,
			changes: []change{{"internal/seals/writer.go", "err = os.Link(file.Name(), name)", "_ = os.Remove(name)\n\t\terr = os.Link(file.Name(), name)"}},
			in:      theSeals, tests: []string{"TestTwoAtOnce"},
		},
		{
			name: "the folder's key is that of another seal", promise: immutable,
			changes: []change{{"internal/seals/writer.go", "err != nil || !known.Equal(key) {", "err != nil {"}},
			in:      theSeals, tests: []string{"TestTwoKeysAtOnce"},
		},
		{
			name: "entries that were sealed are taken for those of a seal that was cut off", promise: immutable,
			changes: []change{{"internal/seals/writer.go", "return s.File == name.Name() })", "return s.File == \"\" })"}},
			in:      theSeals, tests: []string{"TestInterrupted"},
		},
		{
			name: "an old key signs after it was replaced", promise: immutable, hazard: anOwner,
			changes: []change{
				{"internal/seals/folder.go", "\tif s.NextKey != \"\" {", "\tif s.NextKey == \"-\" {"},
			},
			in: theSeals, tests: []string{"TestNextKey"},
		},
	}
}
