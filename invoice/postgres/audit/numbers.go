package audit

// Sorting by bytes is fast, and doesn't depend on the version of a collation.
func gapless() inquiry {
	return inquiry{
		name: "numbers", promises: []int{3},
		proves: "each series and period is numbered from its first number on, without a gap",
		tables: []string{"invoices", "invoice_series"},
		queries: []query{{"invoices", `
SELECT CASE
        WHEN number < first THEN 'this number is below the first one'
        WHEN number = before THEN 'this number is there twice'
        WHEN number = before + 2 THEN format('number %s is missing before it', before + 1)
        ELSE format('numbers %s to %s are missing before it', before + 1, number - 1)
    END, issuer, series, period, number, invoice_number, transaction_id
FROM (
    SELECT issuer, series, period, number, invoice_number, transaction_id, first, greatest(first - 1, lag(number, 1, first - 1) OVER w) AS before
    FROM (
        SELECT invoices.*, coalesce(first_number, 1) AS first
        FROM invoices LEFT JOIN (
            SELECT issuer, series, period, max(first_number) AS first_number FROM invoice_series GROUP BY issuer, series, period
        ) counter USING (issuer, series, period)
    ) counted WINDOW w AS (PARTITION BY issuer COLLATE "C", series COLLATE "C", period COLLATE "C" ORDER BY number)
) numbered
WHERE number IS DISTINCT FROM before + 1`}},
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
GROUP BY issuer, invoice_number ORDER BY min(id)`}},
	}
}

func counters() inquiry {
	return inquiry{
		name: "counters", promises: []int{3},
		proves: "each series and period has one counter, at its highest number",
		tables: []string{"invoice_series", "invoices"},
		queries: []query{
			{"invoice_series", `
SELECT CASE
        WHEN counter.series IS NULL THEN 'these invoices have no counter'
        WHEN counter.last_number > coalesce(highest, first_number - 1) THEN 'the counter is ahead of the numbers'
        ELSE 'the counter is behind the numbers'
    END, coalesce(counter.issuer, used.issuer) AS issuer, coalesce(counter.series, used.series) AS series, coalesce(counter.period, used.period) AS period,
    counter.last_number, coalesce(highest, first_number - 1) AS highest_number
FROM invoice_series counter FULL JOIN (
    SELECT issuer, series, period, max(number) AS highest FROM invoices GROUP BY issuer, series, period
) used ON used.issuer = counter.issuer AND used.series = counter.series AND used.period = counter.period
WHERE counter.last_number IS DISTINCT FROM coalesce(highest, first_number - 1)
ORDER BY 2, 3, 4`},
			{"invoice_series", `
SELECT 'this series and period has more than one counter', issuer, series, period, count(*) AS counters
FROM invoice_series GROUP BY issuer, series, period HAVING count(*) > 1 ORDER BY issuer, series, period`},
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
FROM invoice_series GROUP BY issuer, series HAVING count(DISTINCT kind) > 1 ORDER BY issuer, series`},
			{"invoices", `
SELECT 'this document is not of its series'' kind', invoices.issuer, invoices.series, invoices.period, number, invoice_number,
    invoices.kind, counter.kind AS series_kind
FROM invoices JOIN invoice_series counter ON counter.issuer = invoices.issuer AND counter.series = invoices.series AND counter.period = invoices.period
WHERE invoices.kind IS DISTINCT FROM counter.kind
ORDER BY invoices.id`},
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
ORDER BY id`},
			{"invoice_series", `
SELECT 'this counter isn''t as the newest settings of its series have it', counter.issuer, counter.series, counter.period, counter.settings, newest.version, counter.state, newest.state AS series_state
FROM invoice_series counter JOIN (
    SELECT DISTINCT ON (issuer, series) issuer, series, version, state FROM series ORDER BY issuer, series, version DESC
) newest USING (issuer, series)
WHERE (counter.settings, counter.state) IS DISTINCT FROM (newest.version, newest.state) ORDER BY 2, 3, 4`},
		},
	}
}

func datedInOrder() inquiry {
	return inquiry{
		name: "dates", promises: []int{3},
		proves: "documents that are dated on their day of issue have dates that rise with their numbers",
		tables: []string{"invoices", "invoice_series"},
		queries: []query{
			{"invoices", `
SELECT CASE
        WHEN document_date IS NULL THEN 'this document has no day of issue, by which its series dates it'
        WHEN rule = 'issued_at' THEN 'this document has a day of issue, though its series dates it by issued_at'
        ELSE format('this document is dated before the one before it, which is of %s', before)
    END, issuer, series, period, number, invoice_number, document_date::text, transaction_id
FROM (
    SELECT invoices.*, versions.date AS rule, max(document_date) OVER w AS before
    FROM invoices LEFT JOIN series versions ON versions.issuer = invoices.issuer AND versions.series = invoices.series AND versions.version = series_version
    WHERE document_date IS NOT NULL OR versions.date = 'issue'
    WINDOW w AS (PARTITION BY invoices.issuer COLLATE "C", invoices.series COLLATE "C", invoices.period COLLATE "C" ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) dated WHERE document_date IS NULL OR rule = 'issued_at' OR document_date < before`},
			{"invoice_series", `
SELECT 'this counter is dated before its last document', counter.issuer, counter.series, counter.period, counter.last_date::text, dated.newest::text AS newest_date
FROM invoice_series counter JOIN (
    SELECT issuer, series, period, max(document_date) AS newest FROM invoices WHERE document_date IS NOT NULL GROUP BY issuer, series, period
) dated ON dated.issuer = counter.issuer AND dated.series = counter.series AND dated.period = counter.period
WHERE counter.last_date IS NULL OR counter.last_date < dated.newest ORDER BY 2, 3, 4`},
		},
	}
}
