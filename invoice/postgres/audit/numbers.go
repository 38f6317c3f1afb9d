package audit

// gapless has no query: invoices are read in the order of their numbers anyway.
func gapless() inquiry {
	return inquiry{
		name: "numbers", promises: []int{3},
		proves: "each series and period is numbered from its first number on, without a gap",
		tables: []string{"invoices", "invoice_series", "reserved_numbers"},
	}
}

func printedOnce() inquiry {
	return inquiry{
		name: "invoice_numbers", promises: []int{3},
		proves: "no invoice_number is printed on two documents of an issuer",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this number is printed on more than one document', issuer, invoice_number, count(*) AS invoices,
    string_agg(transaction_id, ', ' ORDER BY id) AS transaction_id
FROM invoices WHERE (issuer, invoice_number) IN (SELECT issuer, invoice_number FROM invoices GROUP BY issuer, invoice_number HAVING count(*) > 1)
GROUP BY issuer, invoice_number ORDER BY min(id)`, twice("invoices", "issuer", "invoice_number")}},
	}
}

func counters() inquiry {
	return inquiry{
		name: "counters", promises: []int{3},
		proves: "each series and period has one counter, at its highest number",
		tables: []string{"invoice_series", "invoices", "reserved_numbers"},
		queries: []query{
			{"invoice_series", `
SELECT CASE
        WHEN counter.series IS NULL THEN 'these invoices have no counter'
        WHEN counter.last_number > coalesce(highest, first_number - 1) THEN 'the counter is ahead of the numbers'
        ELSE 'the counter is behind the numbers'
    END, coalesce(counter.issuer, used.issuer) AS issuer, coalesce(counter.series, used.series) AS series, coalesce(counter.period, used.period) AS period,
    counter.last_number, coalesce(highest, first_number - 1) AS highest_number
FROM invoice_series counter FULL JOIN (
    SELECT issuer, series, period, max(highest) AS highest FROM (
        SELECT issuer, series, period, max(number) AS highest FROM invoices GROUP BY issuer, series, period
        UNION ALL SELECT issuer, series, period, max(number) FROM reserved_numbers GROUP BY issuer, series, period
    ) numbers GROUP BY issuer, series, period
) used ON used.issuer = counter.issuer AND used.series = counter.series AND used.period = counter.period
WHERE counter.last_number IS DISTINCT FROM coalesce(highest, first_number - 1)
ORDER BY 2, 3, 4`, ""},
			{"invoice_series", `
SELECT 'this series and period has more than one counter', issuer, series, period, count(*) AS counters
FROM invoice_series GROUP BY issuer, series, period HAVING count(*) > 1 ORDER BY issuer, series, period`, ""},
		},
	}
}

// A number that was reserved is its transaction's, and no other one's.
func reserved() inquiry {
	return inquiry{
		name: "reserved", promises: []int{3},
		proves: "each reserved number is its transaction's",
		tables: []string{"invoices", "reserved_numbers", "invoice_series"},
		queries: []query{
			{"invoices", `
SELECT 'this number is reserved for another transaction, or for none', i.issuer, i.series, i.period, i.number, i.invoice_number, i.transaction_id, r.transaction_id AS reserved_for
FROM invoices i JOIN reserved_numbers r ON r.issuer = i.issuer AND r.series = i.series AND r.period = i.period AND r.number = i.number
WHERE r.transaction_id IS DISTINCT FROM i.transaction_id ORDER BY i.id`, ""},
			{"invoice_series", `
SELECT 'this counter isn''t at what is reserved', counter.issuer, counter.series, counter.period, counter.reserved_to, highest AS highest_number
FROM invoice_series counter FULL JOIN (SELECT issuer, series, period, max(number) AS highest FROM reserved_numbers GROUP BY issuer, series, period) r USING (issuer, series, period)
WHERE counter.reserved_to IS DISTINCT FROM r.highest ORDER BY 2, 3, 4`, ""},
		},
	}
}

func kinds() inquiry {
	return inquiry{
		name: "kinds", promises: []int{3},
		proves: "a series holds one kind of document",
		tables: []string{"invoice_series", "invoices"},
		queries: []query{
			{"invoice_series", `
SELECT 'this series holds both kinds', issuer, series, string_agg(period || ': ' || kind, ', ' ORDER BY period) AS kind
FROM invoice_series GROUP BY issuer, series HAVING count(DISTINCT kind) > 1 ORDER BY issuer, series`, ""},
			{"invoices", `
SELECT 'this document is not of its series'' kind', invoices.issuer, invoices.series, invoices.period, number, invoice_number,
    invoices.kind, counter.kind AS series_kind
FROM invoices JOIN invoice_series counter ON counter.issuer = invoices.issuer AND counter.series = invoices.series AND counter.period = invoices.period
WHERE invoices.kind IS DISTINCT FROM counter.kind
ORDER BY invoices.id`, ""},
		},
	}
}

// The functions of the database are not called, since they are among what is examined. Numbers of series without settings, which an earlier release has printed, are printed in any form.
func printedAsSet() inquiry {
	return inquiry{
		name: "series", promises: []int{3},
		proves: "each number is printed as a version of its series' settings says, and each counter is as the newest version has it",
		tables: []string{"invoices", "invoice_series", "series"},
		queries: []query{
			{"invoices", `
WITH forms AS MATERIALIZED (
    SELECT DISTINCT issuer, series, period, substring(resolved FROM '^(.*?)\{number') AS prefix,
        coalesce(substring(resolved FROM '\{number:0([0-9]+)\}')::integer, 1) AS width, substring(resolved FROM '\{number[^}]*\}(.*)$') AS suffix
    FROM (
        SELECT counter.issuer, counter.series, counter.period, replace(replace(replace(replace(replace(series.format, '{series}', counter.series), '{period}', counter.period),
            '{year}', left(counter.period, 4)), '{yy}', substr(counter.period, 3, 2)), '{month}', substr(counter.period, 6, 2)) AS resolved
        FROM invoice_series counter JOIN series USING (issuer, series) WHERE counter.settings > 0
    ) versions
)
SELECT 'this number isn''t printed as any version of its series'' settings says', issuer, series, period, number, invoice_number, transaction_id
FROM invoices WHERE EXISTS (SELECT FROM forms WHERE forms.issuer = invoices.issuer AND forms.series = invoices.series AND forms.period = invoices.period)
    AND NOT EXISTS (SELECT FROM forms WHERE forms.issuer = invoices.issuer AND forms.series = invoices.series AND forms.period = invoices.period
        AND invoice_number = forms.prefix || CASE WHEN length(number::text) < forms.width THEN lpad(number::text, forms.width, '0') ELSE number::text END || forms.suffix)
ORDER BY id`, ""},
			{"invoice_series", `
SELECT 'this counter isn''t as the newest settings of its series have it', counter.issuer, counter.series, counter.period, counter.settings, newest.version, counter.state, newest.state AS series_state
FROM invoice_series counter JOIN (
    SELECT DISTINCT ON (issuer, series) issuer, series, version, state FROM series ORDER BY issuer, series, version DESC
) newest USING (issuer, series)
WHERE (counter.settings, counter.state) IS DISTINCT FROM (newest.version, newest.state) ORDER BY 2, 3, 4`, ""},
		},
	}
}

// datedInOrder has no query about documents: they are read in the order of their numbers anyway.
func datedInOrder() inquiry {
	return inquiry{
		name: "dates", promises: []int{3},
		proves: "documents that are dated on their day of issue have dates that rise with their numbers",
		tables: []string{"invoices", "invoice_series"},
		queries: []query{
			{"invoice_series", `
SELECT 'this counter is dated before its last document', counter.issuer, counter.series, counter.period, counter.last_date::text, dated.newest::text AS newest_date
FROM invoice_series counter JOIN (
    SELECT issuer, series, period, max(document_date) AS newest FROM invoices WHERE document_date IS NOT NULL GROUP BY issuer, series, period
) dated ON dated.issuer = counter.issuer AND dated.series = counter.series AND dated.period = counter.period
WHERE counter.last_date IS NULL OR counter.last_date < dated.newest ORDER BY 2, 3, 4`, ""},
		},
	}
}
