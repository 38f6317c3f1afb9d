package audit

// Sorting by bytes is fast, and doesn't depend on the version of a collation.
func gapless() inquiry {
	return inquiry{
		name: "numbers", promises: []int{3},
		proves: "each series and period is numbered 1 to n, without a gap",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT CASE
        WHEN number < 1 THEN 'this number is below 1'
        WHEN number = before THEN 'this number is there twice'
        WHEN number = before + 2 THEN format('number %s is missing before it', before + 1)
        ELSE format('numbers %s to %s are missing before it', before + 1, number - 1)
    END, series, period, number, invoice_number, transaction_id
FROM (
    SELECT series, period, number, invoice_number, transaction_id, greatest(0, lag(number, 1, 0::bigint) OVER w) AS before
    FROM invoices WINDOW w AS (PARTITION BY series COLLATE "C", period COLLATE "C" ORDER BY number)
) numbered
WHERE number IS DISTINCT FROM before + 1`}},
	}
}

func printedOnce() inquiry {
	return inquiry{
		name: "invoice_numbers", promises: []int{3},
		proves: "no invoice_number is printed on two documents",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this number is printed on more than one document', invoice_number, count(*) AS invoices,
    string_agg(transaction_id, ', ' ORDER BY id) AS transaction_id
FROM invoices WHERE invoice_number IN (SELECT invoice_number FROM invoices GROUP BY invoice_number HAVING count(*) > 1)
GROUP BY invoice_number ORDER BY min(id)`}},
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
        WHEN counter.last_number > coalesce(highest, 0) THEN 'the counter is ahead of the numbers'
        ELSE 'the counter is behind the numbers'
    END, coalesce(counter.series, used.series) AS series, coalesce(counter.period, used.period) AS period,
    counter.last_number, coalesce(highest, 0) AS highest_number
FROM invoice_series counter FULL JOIN (
    SELECT series, period, max(number) AS highest FROM invoices GROUP BY series, period
) used ON used.series = counter.series AND used.period = counter.period
WHERE counter.last_number IS DISTINCT FROM coalesce(highest, 0)
ORDER BY 2, 3`},
			{"invoice_series", `
SELECT 'this series and period has more than one counter', series, period, count(*) AS counters
FROM invoice_series GROUP BY series, period HAVING count(*) > 1 ORDER BY series, period`},
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
SELECT 'this series holds both kinds', series, string_agg(period || ': ' || kind, ', ' ORDER BY period) AS kind
FROM invoice_series GROUP BY series HAVING count(DISTINCT kind) > 1 ORDER BY series`},
			{"invoices", `
SELECT 'this document is not of its series'' kind', invoices.series, invoices.period, number, invoice_number,
    invoices.kind, counter.kind AS series_kind
FROM invoices JOIN invoice_series counter ON counter.series = invoices.series AND counter.period = invoices.period
WHERE invoices.kind IS DISTINCT FROM counter.kind
ORDER BY invoices.id`},
		},
	}
}
