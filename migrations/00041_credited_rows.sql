-- +goose Up

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- What has several taxes can be credited in parts, like anything else: the rows of its taxes round, and may be off by that. Where a document
-- has several rows of one percentage, each of them is bounded by itself.
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
    slack   numeric;
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
                slack := 0;
                LOOP
                    SELECT asked.rate::text AS rate, asked.amount, of.amount AS full, of.amount + coalesce(before.amount, 0) AS left_of INTO rate
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
                        AND (asked.amount < 0 AND of.amount + coalesce(before.amount, 0) + asked.amount < least(0, of.amount) - slack
                            OR asked.amount > 0 AND of.amount + coalesce(before.amount, 0) + asked.amount > greatest(0, of.amount) + slack)
                    ORDER BY asked.rate LIMIT 1;
                    IF NOT FOUND AND own IS NOT NULL THEN
                        -- Where that one has several rows of a percentage, each is looked at by itself. What isn't written yet has no rows.
                        SELECT concat_ws(' ', nullif(asked.code, ''), nullif(asked.category, ''), asked.tax_percent::text) AS rate,
                            asked.amount, of.amount AS full, of.amount + before.amount AS left_of INTO rate
                        FROM (SELECT t.*, t.net_minor::numeric + t.tax_minor AS amount FROM invoice_taxes t) AS asked
                        CROSS JOIN LATERAL (
                            SELECT coalesce(sum(t.net_minor + t.tax_minor), 0) AS amount FROM invoice_taxes t
                                WHERE t.invoice_id = above.id AND t.tax_percent = asked.tax_percent AND t.code = asked.code AND t.category = asked.category
                        ) AS of
                        CROSS JOIN LATERAL (
                            SELECT coalesce(sum(t.net_minor + t.tax_minor), 0) AS amount FROM invoice_taxes t
                                WHERE t.invoice_id = ANY (members) AND t.tax_percent = asked.tax_percent AND t.code = asked.code AND t.category = asked.category
                        ) AS before
                        WHERE asked.invoice_id = own
                            AND (SELECT count(*) FROM invoice_taxes t WHERE t.invoice_id = above.id AND t.tax_percent = asked.tax_percent) > 1
                            AND (asked.amount < 0 AND of.amount + before.amount + asked.amount < least(0, of.amount) - slack
                                OR asked.amount > 0 AND of.amount + before.amount + asked.amount > greatest(0, of.amount) + slack)
                        ORDER BY asked.tax_percent, asked.code, asked.category LIMIT 1;
                    END IF;
                    EXIT WHEN NOT FOUND;
                    -- What has several taxes is credited in parts whose nets and taxes are rounded apart, each by less than 1.5.
                    IF slack = 0 AND has_several_taxes(members || above.id) THEN
                        slack := ceil(1.5 * (coalesce(cardinality(members), 0) + 2));
                        CONTINUE;
                    END IF;
                    RETURN jsonb_build_object('why', 'rate', 'number', above.invoice_number, 'rate', rate.rate, 'full', greatest(-9223372036854775808, least(9223372036854775807, rate.full)),
                        'left', greatest(-9223372036854775808, least(9223372036854775807, rate.left_of)), 'asked', rate.amount);
                END LOOP;
            END IF;
        END IF;
        seen := seen || next;
        next := above.credits_transaction_id;
        EXIT WHEN next IS NULL OR next = ANY (seen);
    END LOOP;
    RETURN NULL;
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
