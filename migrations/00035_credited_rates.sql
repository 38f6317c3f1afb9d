-- +goose Up

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Whether a line, an allowance or a charge of these documents states several taxes. Its net is then in several rows of taxes, so that
-- what is without a rate can't be told from the rows.
CREATE FUNCTION has_several_taxes(documents bigint[]) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT FROM invoices WHERE id = ANY (documents)
            AND (jsonb_path_exists(terms, '$.allowances[*].taxes') OR jsonb_path_exists(terms, '$.charges[*].taxes')))
        OR EXISTS (SELECT FROM invoice_lines WHERE invoice_id = ANY (documents) AND jsonb_path_exists(terms, '$.taxes'))
$$;

-- What is left of a document without a rate is looked at only where it can be told.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION credit_problem(
    of_issuer text, of_transaction text, credited text, in_currency text, dated timestamptz, total bigint, rates numeric[], amounts numeric[], own bigint
) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    above   record;
    next    text   := credited;
    seen    text[] := '{}';
    members bigint[];
    left_of numeric;
    rate    record;
    several boolean;
BEGIN
    LOOP
        IF next = of_transaction THEN
            RETURN jsonb_build_object('why', 'circle');
        ELSIF cardinality(seen) >= 50 THEN
            RETURN jsonb_build_object('why', 'depth');
        END IF;
        SELECT i.id, i.invoice_number, i.currency, i.issued_at, i.total_minor, i.credits_transaction_id, 0::bigint AS before INTO above
            FROM invoices i WHERE i.issuer = of_issuer AND i.transaction_id = next;
        IF NOT FOUND THEN
            SELECT NULL::bigint AS id, i.invoice_number, i.currency, i.issued_at, i.total_minor, NULL::text AS credits_transaction_id,
                sign(i.total_minor)::bigint * coalesce(i.credited_total_minor, 0) AS before INTO above
                FROM imported_invoices i WHERE i.issuer = of_issuer AND i.transaction_id = next AND i.withdrawn_at IS NULL;
        END IF;
        EXIT WHEN NOT FOUND;
        IF seen = '{}' AND above.currency <> in_currency THEN
            RETURN jsonb_build_object('why', 'currency', 'number', above.invoice_number, 'currency', above.currency);
        END IF;
        IF seen = '{}' AND above.issued_at > dated THEN
            RETURN jsonb_build_object('why', 'date', 'number', above.invoice_number, 'issued_at', above.issued_at);
        END IF;
        IF above.currency = in_currency AND above.total_minor IS NOT NULL THEN
            WITH RECURSIVE family (id, transaction_id, currency) AS (
                SELECT i.id, i.transaction_id, i.currency FROM invoices i
                    WHERE i.issuer = of_issuer AND i.credits_transaction_id IN (next, of_transaction) -- what came before this document, too
                UNION
                SELECT i.id, i.transaction_id, i.currency FROM family JOIN invoices i ON i.issuer = of_issuer AND i.credits_transaction_id = family.transaction_id
            )
            SELECT array_agg(family.id) INTO members FROM family
                WHERE family.currency = in_currency AND family.transaction_id <> next AND family.id IS DISTINCT FROM own;
            SELECT above.total_minor - above.before + coalesce(sum(i.total_minor), 0) INTO left_of FROM invoices i WHERE i.id = ANY (members);
            IF total < 0 AND left_of + total < least(0, above.total_minor) OR total > 0 AND left_of + total > greatest(0, above.total_minor) THEN
                RETURN jsonb_build_object('why', 'total', 'number', above.invoice_number, 'full', above.total_minor, 'left', greatest(-9223372036854775808, least(9223372036854775807, left_of)), 'asked', total);
            END IF;
            IF above.id IS NOT NULL THEN
                several := EXISTS (SELECT FROM unnest(rates) AS asked (rate) WHERE asked.rate IS NULL) AND has_several_taxes(members || above.id);
                SELECT asked.rate, asked.amount, of.amount AS full, of.amount + coalesce(before.amount, 0) AS left_of INTO rate
                FROM unnest(rates, amounts) AS asked (rate, amount)
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN asked.rate IS NULL THEN above.total_minor - coalesce(sum(t.net_minor + t.tax_minor), 0)
                        ELSE coalesce(sum(t.net_minor + t.tax_minor) FILTER (WHERE t.tax_percent = asked.rate), 0) END AS amount
                    FROM invoice_taxes t WHERE t.invoice_id = above.id
                ) AS of
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN asked.rate IS NULL
                        THEN (SELECT sum(i.total_minor) FROM invoices i WHERE i.id = ANY (members))
                            - coalesce((SELECT sum(t.net_minor + t.tax_minor) FROM invoice_taxes t WHERE t.invoice_id = ANY (members)), 0)
                        ELSE (SELECT sum(t.net_minor + t.tax_minor) FROM invoice_taxes t WHERE t.invoice_id = ANY (members) AND t.tax_percent = asked.rate)
                        END AS amount
                ) AS before
                WHERE (asked.rate IS NOT NULL OR NOT several)
                    AND (asked.amount < 0 AND of.amount + coalesce(before.amount, 0) + asked.amount < least(0, of.amount)
                        OR asked.amount > 0 AND of.amount + coalesce(before.amount, 0) + asked.amount > greatest(0, of.amount))
                ORDER BY asked.rate LIMIT 1;
                IF FOUND THEN
                    RETURN jsonb_build_object('why', 'rate', 'number', above.invoice_number, 'rate', rate.rate::text, 'full', greatest(-9223372036854775808, least(9223372036854775807, rate.full)),
                        'left', greatest(-9223372036854775808, least(9223372036854775807, rate.left_of)), 'asked', rate.amount);
                END IF;
            END IF;
        END IF;
        seen := seen || next;
        next := above.credits_transaction_id;
        EXIT WHEN next IS NULL OR next = ANY (seen);
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_credits(made bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
    document record;
    problem  jsonb;
    wanted   bigint[];
    locked   bigint[] := '{}';
BEGIN
    LOOP
        wanted := ARRAY(
            SELECT DISTINCT hashtextextended(families.issuer || ' ' || families.transaction_id, 27) AS family FROM (
                SELECT issuer, transaction_id FROM invoices WHERE id = ANY (made)
                UNION ALL
                SELECT issuer, credit_root(issuer, credits_transaction_id) FROM invoices WHERE id = ANY (made)
            ) AS families EXCEPT SELECT unnest(locked) ORDER BY 1);
        EXIT WHEN cardinality(wanted) = 0;
        PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;
        locked := locked || wanted;
    END LOOP;
    FOR document IN SELECT i.*, rates.of AS rates, rates.amounts FROM invoices i
        CROSS JOIN LATERAL (
            SELECT array_agg(tax_percent) AS of, array_agg(amount) AS amounts FROM (
                SELECT tax_percent, sum(net_minor + tax_minor) AS amount FROM invoice_taxes WHERE invoice_id = i.id GROUP BY tax_percent
                UNION ALL
                SELECT NULL, i.total_minor - coalesce(sum(net_minor + tax_minor), 0) FROM invoice_taxes WHERE invoice_id = i.id
                    HAVING NOT has_several_taxes(ARRAY[i.id])
            ) AS each
        ) AS rates
        WHERE i.id = ANY (made) ORDER BY i.id
    LOOP
        problem := credit_problem(document.issuer, document.transaction_id, document.credits_transaction_id, document.currency, document.issued_at,
            document.total_minor, document.rates, document.amounts, document.id);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'transaction_id % refused: it can''t credit transaction_id %', document.transaction_id, document.credits_transaction_id
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_credits', DETAIL = problem::text, TABLE = 'invoices';
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION credit_problem(
    of_issuer text, of_transaction text, credited text, in_currency text, dated timestamptz, total bigint, rates numeric[], amounts numeric[], own bigint
) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    above   record;
    next    text   := credited;
    seen    text[] := '{}';
    members bigint[];
    left_of numeric;
    rate    record;
BEGIN
    LOOP
        IF next = of_transaction THEN
            RETURN jsonb_build_object('why', 'circle');
        ELSIF cardinality(seen) >= 50 THEN
            RETURN jsonb_build_object('why', 'depth');
        END IF;
        SELECT i.id, i.invoice_number, i.currency, i.issued_at, i.total_minor, i.credits_transaction_id, 0::bigint AS before INTO above
            FROM invoices i WHERE i.issuer = of_issuer AND i.transaction_id = next;
        IF NOT FOUND THEN
            SELECT NULL::bigint AS id, i.invoice_number, i.currency, i.issued_at, i.total_minor, NULL::text AS credits_transaction_id,
                sign(i.total_minor)::bigint * coalesce(i.credited_total_minor, 0) AS before INTO above
                FROM imported_invoices i WHERE i.issuer = of_issuer AND i.transaction_id = next AND i.withdrawn_at IS NULL;
        END IF;
        EXIT WHEN NOT FOUND;
        IF seen = '{}' AND above.currency <> in_currency THEN
            RETURN jsonb_build_object('why', 'currency', 'number', above.invoice_number, 'currency', above.currency);
        END IF;
        IF seen = '{}' AND above.issued_at > dated THEN
            RETURN jsonb_build_object('why', 'date', 'number', above.invoice_number, 'issued_at', above.issued_at);
        END IF;
        IF above.currency = in_currency AND above.total_minor IS NOT NULL THEN
            WITH RECURSIVE family (id, transaction_id, currency) AS (
                SELECT i.id, i.transaction_id, i.currency FROM invoices i
                    WHERE i.issuer = of_issuer AND i.credits_transaction_id IN (next, of_transaction) -- what came before this document, too
                UNION
                SELECT i.id, i.transaction_id, i.currency FROM family JOIN invoices i ON i.issuer = of_issuer AND i.credits_transaction_id = family.transaction_id
            )
            SELECT array_agg(family.id) INTO members FROM family
                WHERE family.currency = in_currency AND family.transaction_id <> next AND family.id IS DISTINCT FROM own;
            SELECT above.total_minor - above.before + coalesce(sum(i.total_minor), 0) INTO left_of FROM invoices i WHERE i.id = ANY (members);
            IF total < 0 AND left_of + total < least(0, above.total_minor) OR total > 0 AND left_of + total > greatest(0, above.total_minor) THEN
                RETURN jsonb_build_object('why', 'total', 'number', above.invoice_number, 'full', above.total_minor, 'left', greatest(-9223372036854775808, least(9223372036854775807, left_of)), 'asked', total);
            END IF;
            IF above.id IS NOT NULL THEN
                SELECT asked.rate, asked.amount, of.amount AS full, of.amount + coalesce(before.amount, 0) AS left_of INTO rate
                FROM unnest(rates, amounts) AS asked (rate, amount)
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN asked.rate IS NULL THEN above.total_minor - coalesce(sum(t.net_minor + t.tax_minor), 0)
                        ELSE coalesce(sum(t.net_minor + t.tax_minor) FILTER (WHERE t.tax_percent = asked.rate), 0) END AS amount
                    FROM invoice_taxes t WHERE t.invoice_id = above.id
                ) AS of
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN asked.rate IS NULL
                        THEN (SELECT sum(i.total_minor) FROM invoices i WHERE i.id = ANY (members))
                            - coalesce((SELECT sum(t.net_minor + t.tax_minor) FROM invoice_taxes t WHERE t.invoice_id = ANY (members)), 0)
                        ELSE (SELECT sum(t.net_minor + t.tax_minor) FROM invoice_taxes t WHERE t.invoice_id = ANY (members) AND t.tax_percent = asked.rate)
                        END AS amount
                ) AS before
                WHERE asked.amount < 0 AND of.amount + coalesce(before.amount, 0) + asked.amount < least(0, of.amount)
                    OR asked.amount > 0 AND of.amount + coalesce(before.amount, 0) + asked.amount > greatest(0, of.amount)
                ORDER BY asked.rate LIMIT 1;
                IF FOUND THEN
                    RETURN jsonb_build_object('why', 'rate', 'number', above.invoice_number, 'rate', rate.rate::text, 'full', greatest(-9223372036854775808, least(9223372036854775807, rate.full)),
                        'left', greatest(-9223372036854775808, least(9223372036854775807, rate.left_of)), 'asked', rate.amount);
                END IF;
            END IF;
        END IF;
        seen := seen || next;
        next := above.credits_transaction_id;
        EXIT WHEN next IS NULL OR next = ANY (seen);
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_credits(made bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
DECLARE
    document record;
    problem  jsonb;
    wanted   bigint[];
    locked   bigint[] := '{}';
BEGIN
    LOOP
        wanted := ARRAY(
            SELECT DISTINCT hashtextextended(families.issuer || ' ' || families.transaction_id, 27) AS family FROM (
                SELECT issuer, transaction_id FROM invoices WHERE id = ANY (made)
                UNION ALL
                SELECT issuer, credit_root(issuer, credits_transaction_id) FROM invoices WHERE id = ANY (made)
            ) AS families EXCEPT SELECT unnest(locked) ORDER BY 1);
        EXIT WHEN cardinality(wanted) = 0;
        PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;
        locked := locked || wanted;
    END LOOP;
    FOR document IN SELECT i.*, rates.of AS rates, rates.amounts FROM invoices i
        CROSS JOIN LATERAL (
            SELECT array_agg(tax_percent) AS of, array_agg(amount) AS amounts FROM (
                SELECT tax_percent, sum(net_minor + tax_minor) AS amount FROM invoice_taxes WHERE invoice_id = i.id GROUP BY tax_percent
                UNION ALL
                SELECT NULL, i.total_minor - coalesce(sum(net_minor + tax_minor), 0) FROM invoice_taxes WHERE invoice_id = i.id
            ) AS each
        ) AS rates
        WHERE i.id = ANY (made) ORDER BY i.id
    LOOP
        problem := credit_problem(document.issuer, document.transaction_id, document.credits_transaction_id, document.currency, document.issued_at,
            document.total_minor, document.rates, document.amounts, document.id);
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'transaction_id % refused: it can''t credit transaction_id %', document.transaction_id, document.credits_transaction_id
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_credits', DETAIL = problem::text, TABLE = 'invoices';
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd
DROP FUNCTION has_several_taxes(bigint[]);
