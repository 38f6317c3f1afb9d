-- Names are unqualified on purpose: the schema is chosen by search_path when migrations run, and functions keep
-- that choice (SET search_path FROM CURRENT), whatever path their callers have.

-- +goose Up

-- One row: tells this database from another one that uses the same Redis. It travels with backups, as the invoices do.
CREATE TABLE database_identity (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    only_row   boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT database_identity_only_row_key UNIQUE (only_row),
    CONSTRAINT database_identity_only_row_check CHECK (only_row)
);
INSERT INTO database_identity DEFAULT VALUES;

CREATE TABLE invoice_series (
    series      text   NOT NULL,
    period      text   NOT NULL,
    kind        text   NOT NULL,
    last_number bigint NOT NULL DEFAULT 0,
    CONSTRAINT invoice_series_pkey PRIMARY KEY (series, period),
    CONSTRAINT invoice_series_series_period_kind_key UNIQUE (series, period, kind),
    CONSTRAINT invoice_series_series_check CHECK (series ~ '^[A-Z0-9-]{1,64}$'),
    CONSTRAINT invoice_series_kind_check CHECK (kind IN ('invoice', 'credit_note')),
    CONSTRAINT invoice_series_last_number_check CHECK (last_number >= 0)
);

CREATE TABLE invoices (
    id                      bigint GENERATED ALWAYS AS IDENTITY,
    series                  text        NOT NULL,
    period                  text        NOT NULL,
    number                  bigint      NOT NULL,
    invoice_number          text        NOT NULL,
    kind                    text        NOT NULL,
    transaction_id          text        NOT NULL,
    idempotency_key         text        NOT NULL,
    job_id                  text        NOT NULL,
    fingerprint             text        NOT NULL,
    requested_series        text,
    credits_transaction_id  text,
    customer_id             text,
    customer_name           text,
    country                 text,
    currency                text        NOT NULL,
    subtotal_minor          bigint      NOT NULL,
    tax_minor               bigint      NOT NULL,
    total_minor             bigint      NOT NULL,
    issued_at               timestamptz NOT NULL,
    metadata                jsonb       NOT NULL DEFAULT '{}',
    created_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoices_pkey PRIMARY KEY (id),
    CONSTRAINT invoices_transaction_id_key UNIQUE (transaction_id),
    CONSTRAINT invoices_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT invoices_series_period_number_key UNIQUE (series, period, number),
    CONSTRAINT invoices_invoice_number_key UNIQUE (invoice_number),
    CONSTRAINT invoices_series_fkey FOREIGN KEY (series, period, kind) REFERENCES invoice_series (series, period, kind),
    CONSTRAINT invoices_number_check CHECK (number >= 1),
    CONSTRAINT invoices_kind_check CHECK ((kind = 'credit_note') = (total_minor < 0) AND kind IN ('invoice', 'credit_note')),
    CONSTRAINT invoices_total_check CHECK (total_minor::numeric = subtotal_minor::numeric + tax_minor::numeric),
    CONSTRAINT invoices_transaction_id_check CHECK (transaction_id ~ '^[A-Za-z0-9._:/@+=-]{1,128}$'),
    CONSTRAINT invoices_idempotency_key_check CHECK (idempotency_key ~ '^[A-Za-z0-9._:/@+=-]{1,255}$'),
    CONSTRAINT invoices_job_id_check CHECK (job_id <> ''),
    CONSTRAINT invoices_fingerprint_check CHECK (fingerprint ~ '^v[0-9]+:[0-9a-f]{64}$'),
    CONSTRAINT invoices_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT invoices_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE TABLE invoice_lines (
    invoice_id       bigint  NOT NULL,
    position         integer NOT NULL,
    sku              text,
    description      text,
    quantity         numeric NOT NULL,
    unit_price       numeric NOT NULL,
    discount_percent numeric NOT NULL DEFAULT 0,
    tax_percent      numeric,
    net_minor        bigint  NOT NULL,
    CONSTRAINT invoice_lines_pkey PRIMARY KEY (invoice_id, position),
    CONSTRAINT invoice_lines_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_lines_position_check CHECK (position >= 1),
    CONSTRAINT invoice_lines_quantity_check CHECK (abs(quantity) < 1e12 AND scale(quantity) <= 6),
    CONSTRAINT invoice_lines_unit_price_check CHECK (abs(unit_price) < 1e12 AND scale(unit_price) <= 6),
    CONSTRAINT invoice_lines_discount_percent_check CHECK (discount_percent BETWEEN 0 AND 100 AND scale(discount_percent) <= 6),
    CONSTRAINT invoice_lines_tax_percent_check CHECK (tax_percent BETWEEN 0 AND 100 AND scale(tax_percent) <= 6)
);

CREATE TABLE invoice_taxes (
    invoice_id  bigint  NOT NULL,
    tax_percent numeric NOT NULL,
    net_minor   bigint  NOT NULL,
    tax_minor   bigint  NOT NULL,
    CONSTRAINT invoice_taxes_pkey PRIMARY KEY (invoice_id, tax_percent),
    CONSTRAINT invoice_taxes_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_taxes_tax_percent_check CHECK (tax_percent BETWEEN 0 AND 100 AND scale(tax_percent) <= 6)
);

-- A stored invoice is never changed and never deleted; corrections are credit notes.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: a stored invoice is immutable; issue a credit note instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoices_immutable BEFORE UPDATE OR DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoices_no_truncate BEFORE TRUNCATE ON invoices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_lines_immutable BEFORE UPDATE OR DELETE ON invoice_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_lines_no_truncate BEFORE TRUNCATE ON invoice_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_taxes_immutable BEFORE UPDATE OR DELETE ON invoice_taxes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_taxes_no_truncate BEFORE TRUNCATE ON invoice_taxes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A line or tax added to an invoice of an earlier transaction would change it too. created_at is the beginning of
-- the transaction that wrote the invoice, so within that transaction, and only there, it equals now().
-- +goose StatementBegin
CREATE FUNCTION refuse_addition() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM added JOIN invoices ON invoices.id = added.invoice_id WHERE invoices.created_at <> now()) THEN
        RAISE EXCEPTION 'INSERT into % refused: the invoice is complete and immutable', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_complete', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoice_lines_complete AFTER INSERT ON invoice_lines
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_addition();
CREATE TRIGGER invoice_taxes_complete AFTER INSERT ON invoice_taxes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_addition();

-- Number n is refused while n-1 isn't there. As nothing is ever deleted, no gap can come into being.
-- +goose StatementBegin
CREATE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    gap record;
BEGIN
    SELECT added.series, added.period, added.number INTO gap FROM added
    WHERE added.number > 1 AND NOT EXISTS (
        SELECT FROM invoices before
        WHERE before.series = added.series AND before.period = added.period AND before.number = added.number - 1)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'number % of series % refused: number % is not there', gap.number, gap.series, gap.number - 1
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_gapless', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoices_gapless AFTER INSERT ON invoices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_gap();

-- A counter only moves forward by hand of the writer, and a series holds one kind in all its periods.
-- +goose StatementBegin
CREATE FUNCTION guard_series() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Two first periods of one series must not pass each other unseen.
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.' || NEW.series, 0));
        IF NEW.last_number <> 0 THEN
            RAISE EXCEPTION 'series % refused: a counter begins at 0', NEW.series
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_begin', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        IF EXISTS (SELECT FROM invoice_series other WHERE other.series = NEW.series AND other.kind <> NEW.kind) THEN
            RAISE EXCEPTION 'series % refused for kind %: it holds the other kind', NEW.series, NEW.kind
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_one_kind', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.series, NEW.period, NEW.kind) = (OLD.series, OLD.period, OLD.kind) AND NEW.last_number >= OLD.last_number THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of series % refused: a counter is never renamed, lowered or deleted', TG_OP, OLD.series
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_series_forward', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

CREATE TRIGGER invoice_series_guard BEFORE INSERT OR UPDATE OR DELETE ON invoice_series FOR EACH ROW EXECUTE FUNCTION guard_series();
CREATE TRIGGER invoice_series_no_truncate BEFORE TRUNCATE ON invoice_series FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down

-- Locked first: what is committed between a look into the table and its end would be lost unseen.
LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoices) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete stored invoices'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoices_immutable', TABLE = 'invoices';
    END IF;
END $$;
-- +goose StatementEnd

DROP TABLE invoice_taxes, invoice_lines, invoices, invoice_series, database_identity;
DROP FUNCTION refuse_change(), refuse_addition(), refuse_gap(), guard_series();
