-- +goose Up

-- In the order in which a writer takes them: else the two might wait for each other.
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE settings IN ACCESS EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

ALTER TABLE settings
    ADD COLUMN credit_notes text NOT NULL DEFAULT 'free',
    ADD COLUMN zero         text NOT NULL DEFAULT 'number',
    ADD CONSTRAINT settings_credit_notes_check CHECK (credit_notes IN ('free', 'must_credit')),
    ADD CONSTRAINT settings_zero_check CHECK (zero IN ('number', 'refuse'));

-- A document and what credits it, and what credits those, are its family. It is walked down by this index,
-- which was built before if the table is large.
CREATE INDEX IF NOT EXISTS invoices_credits_idx ON invoices (issuer, credits_transaction_id) WHERE credits_transaction_id IS NOT NULL;

-- Why a document of an issuer's transaction can't credit another one; NULL if it can, or if that one isn't here. Of that one, and of
-- each that it credits in turn, what is left stays between 0 and its total, and so does what is left of each tax rate, tax included.
-- What is left already lies outside, because an invoice came later than what credits it, may be mended, but not made worse. What was
-- imported without a total isn't limited. A plan that was made while the table was small would read all of it for each document. amounts has what the document comes to at each of its rates, tax included; a rate is NULL
-- for lines that state none. own is the document's id if it is stored.
-- +goose StatementBegin
CREATE FUNCTION credit_problem(
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

-- The transaction at the top of a family: the last one that is found upwards, whether or not it is invoiced here. Of a circle, which
-- only workers of a release before can have made, it is the least.
-- +goose StatementBegin
CREATE FUNCTION credit_root(of_issuer text, of_transaction text) RETURNS text LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    seen text[] := ARRAY[of_transaction];
    next text   := of_transaction;
BEGIN
    LOOP
        SELECT credits_transaction_id INTO next FROM invoices WHERE issuer = of_issuer AND transaction_id = next;
        IF next IS NULL THEN
            RETURN seen[cardinality(seen)];
        ELSIF next = ANY (seen) THEN
            RETURN (SELECT min(one COLLATE "C") FROM unnest(seen[array_position(seen, next):]) AS one);
        END IF;
        seen := seen || next;
    END LOOP;
END $$;
-- +goose StatementEnd

-- Refuses documents that credit what they can't. Those who credit documents of one family take turns by an advisory lock: no row
-- of an invoice can be locked by a role that may not change it. A document locks its own transaction, too, as it may become the
-- top of a family that is credited meanwhile. Each statement of a volatile function has a snapshot of its own, and so sees what was
-- committed while it waited.
-- +goose StatementBegin
CREATE FUNCTION refuse_credits(made bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off AS $$
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
                SELECT tax_percent, net_minor + tax_minor AS amount FROM invoice_taxes WHERE invoice_id = i.id
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

-- Checked where all else is that settings decide, so that documents without credits cost nothing more.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
    run   record;
    crediting bigint[];
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR run IN SELECT DISTINCT added.issuer FROM added LOOP
        SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest,
            credit_notes = 'must_credit' AS must_credit, zero = 'refuse' AS refuse_zero
            INTO rule FROM settings WHERE settings.issuer = run.issuer ORDER BY version DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'invoice refused: issuer % wasn''t opened', run.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT transaction_id, issued_at, settings_version INTO wrong FROM added
            WHERE added.issuer = run.issuer AND (settings_version <> rule.version OR issued_at < rule.earliest OR issued_at > rule.latest) LIMIT 1;
        IF wrong.settings_version <> rule.version THEN
            RAISE EXCEPTION 'the settings have changed since version %', wrong.settings_version
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        ELSIF wrong.transaction_id IS NOT NULL THEN
            RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.must_credit AND EXISTS (SELECT FROM added WHERE added.issuer = run.issuer AND kind = 'credit_note' AND credits_transaction_id IS NULL) THEN
            RAISE EXCEPTION 'credit note refused: by the setting credit_notes it has to name what it credits'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_must_credit', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF rule.refuse_zero AND EXISTS (
            SELECT FROM added WHERE added.issuer = run.issuer AND subtotal_minor = 0 AND tax_minor = 0
                AND NOT EXISTS (SELECT FROM invoice_lines WHERE invoice_lines.invoice_id = added.id AND net_minor <> 0)) THEN
            RAISE EXCEPTION 'document refused: by the setting zero none is made of nothing but zeros'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_not_zero', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    SELECT array_agg(id) INTO crediting FROM added WHERE credits_transaction_id IS NOT NULL;
    IF crediting IS NOT NULL THEN
        PERFORM refuse_credits(crediting);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION refuse_credits(bigint[]) FROM PUBLIC;

-- +goose Down

LOCK TABLE invoices, settings IN ACCESS EXCLUSIVE MODE;
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM settings WHERE credit_notes <> 'free' OR zero <> 'number') THEN
        RAISE EXCEPTION 'migrating down refused: it would delete settings that were changed'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'settings';
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_unsettled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    rule  record;
    wrong record;
    run   record;
BEGIN
    -- On a table of somebody else's, "added" could be a view that runs their code with the owner's rights.
    IF TG_RELID <> 'invoices'::regclass THEN
        RAISE EXCEPTION 'refuse_unsettled is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR run IN SELECT DISTINCT added.issuer FROM added LOOP
        SELECT version, dates_earliest::timestamp AT TIME ZONE 'UTC' AS earliest, clock_timestamp() + make_interval(secs => dates_latest_seconds) AS latest
            INTO rule FROM settings WHERE settings.issuer = run.issuer ORDER BY version DESC LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'invoice refused: issuer % wasn''t opened', run.issuer
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issuer_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        SELECT transaction_id, issued_at, settings_version INTO wrong FROM added
            WHERE added.issuer = run.issuer AND (settings_version <> rule.version OR issued_at < rule.earliest OR issued_at > rule.latest) LIMIT 1;
        IF wrong.settings_version <> rule.version THEN
            RAISE EXCEPTION 'the settings have changed since version %', wrong.settings_version
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_settings_version', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        ELSIF wrong.transaction_id IS NOT NULL THEN
            RAISE EXCEPTION 'issued_at of transaction_id % refused: dates from % to % are allowed now', wrong.transaction_id, rule.earliest, rule.latest
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_dates', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP FUNCTION refuse_credits(bigint[]), credit_root(text, text), credit_problem(text, text, text, text, timestamptz, bigint, numeric[], numeric[], bigint);
DROP INDEX invoices_credits_idx;
ALTER TABLE settings DROP COLUMN credit_notes, DROP COLUMN zero;
