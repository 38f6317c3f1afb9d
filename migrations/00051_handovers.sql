-- +goose Up

-- In the order in which those who write invoices take it.
LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE;

-- Functions that run with their owner's rights find nothing in their caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- The channels to which invoices are handed over. A row stays as it is until its channel is changed or taken out: it then says of which
-- invoices it holds.
CREATE TABLE handover_channels (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    name            text        NOT NULL,
    kind            text        NOT NULL,
    await_clearance boolean     NOT NULL,
    issuers         text[],
    series          text[],
    kinds           text[],
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    after_invoice   bigint      NOT NULL,
    until           timestamptz,
    last_invoice    bigint,
    late            bigint[]    NOT NULL DEFAULT '{}',
    CONSTRAINT handover_channels_pkey PRIMARY KEY (id),
    CONSTRAINT handover_channels_name_check CHECK (name ~ '^[a-z][a-z0-9_-]{0,31}$'),
    CONSTRAINT handover_channels_kind_check CHECK (kind IN ('email', 'https', 'program')),
    CONSTRAINT handover_channels_until_check CHECK ((until IS NULL) = (last_invoice IS NULL))
);
CREATE UNIQUE INDEX handover_channels_name_key ON handover_channels (name) WHERE until IS NULL;

-- What is handed over to whom, and how that stands. Written in the transaction of the invoice.
CREATE TABLE handovers (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    key         uuid        NOT NULL DEFAULT gen_random_uuid(),
    invoice_id  bigint      NOT NULL,
    channel     text        NOT NULL,
    address     text        NOT NULL DEFAULT '',
    credits     bigint,
    state       text        NOT NULL DEFAULT 'queued',
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at      timestamptz,
    in_hand     boolean     NOT NULL DEFAULT false,
    turn        bigint      NOT NULL DEFAULT 0,
    attempts    integer     NOT NULL DEFAULT 0,
    doubts      integer     NOT NULL DEFAULT 0,
    error       text,
    their_id    text,
    clearance   text,
    answer      text,
    answered_at timestamptz,
    changed_by  text,
    reason      text,
    erased_at   timestamptz,
    CONSTRAINT handovers_pkey PRIMARY KEY (id),
    CONSTRAINT handovers_key_key UNIQUE (key),
    CONSTRAINT handovers_invoice_id_key UNIQUE (invoice_id, channel, address),
    CONSTRAINT handovers_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    CONSTRAINT handovers_credits_fkey FOREIGN KEY (credits) REFERENCES handovers (id),
    CONSTRAINT handovers_state_check CHECK (state IN ('queued', 'sent', 'cleared', 'accepted', 'rejected', 'failed', 'cancelled')),
    CONSTRAINT handovers_due_check CHECK (due_at IS NULL OR state IN ('queued', 'sent', 'cleared')),
    CONSTRAINT handovers_in_hand_check CHECK (NOT in_hand OR due_at IS NOT NULL),
    CONSTRAINT handovers_cleared_check CHECK (state <> 'cleared' OR clearance IS NOT NULL),
    CONSTRAINT handovers_answered_check CHECK (state NOT IN ('sent', 'cleared', 'accepted', 'rejected') OR answered_at IS NOT NULL),
    CONSTRAINT handovers_sizes_check CHECK (octet_length(address) <= 320 AND octet_length(their_id) <= 200 AND octet_length(clearance) <= 200
        AND octet_length(error) <= 2000 AND octet_length(answer) <= 4000 AND octet_length(changed_by) <= 400 AND octet_length(reason) <= 2000)
);
CREATE INDEX handovers_due_idx ON handovers (channel, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX handovers_open_idx ON handovers (channel, state) WHERE due_at IS NOT NULL OR state IN ('queued', 'rejected', 'failed');
CREATE INDEX handovers_state_idx ON handovers (state, id); -- lists, the newest first
CREATE INDEX handovers_their_id_idx ON handovers (their_id) WHERE their_id IS NOT NULL;
CREATE INDEX handovers_credits_idx ON handovers (credits) WHERE credits IS NOT NULL;

-- Each change of them, as it was when it happened.
CREATE TABLE handover_log (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    handover_id bigint      NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       text        NOT NULL,
    key         uuid        NOT NULL,
    attempts    integer     NOT NULL,
    error       text,
    their_id    text,
    clearance   text,
    answer      text,
    changed_by  text,
    reason      text,
    CONSTRAINT handover_log_pkey PRIMARY KEY (id),
    CONSTRAINT handover_log_handover_id_fkey FOREIGN KEY (handover_id) REFERENCES handovers (id)
);
CREATE INDEX handover_log_handover_idx ON handover_log (handover_id, id);

-- What a new invoice is owed. A credit note waits, where its channel wants that, for the clearance of what it credits: the row of that is locked, so
-- that whoever clears it meanwhile sees who waits, or is seen here. Invoices come before credit notes, which may be of the same statement. A credit
-- note may also come before its invoice, which then has it wait. Whoever adds the one takes turns with whoever adds the other: each statement of a
-- volatile function has a snapshot of its own, so that the second sees what the first has committed.
-- +goose StatementBegin
CREATE FUNCTION owe_handovers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    early record;
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- elsewhere "added" could be a view that runs others' code
        RAISE EXCEPTION 'owe_handovers is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE handover_channels IN ROW EXCLUSIVE MODE; -- until the invoice is committed they stay as they are: owe_channels
    PERFORM FROM handover_channels WHERE last_invoice >= (SELECT min(id) FROM added) ORDER BY id FOR UPDATE;
    IF FOUND THEN -- it had its id before that channel ended, and comes after
        UPDATE handover_channels c SET late = late || ARRAY(SELECT id FROM added WHERE id <= c.last_invoice ORDER BY id) WHERE last_invoice >= (SELECT min(id) FROM added);
    END IF;
    IF NOT EXISTS (SELECT FROM handover_channels WHERE until IS NULL) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM handover_channels WHERE until IS NULL AND await_clearance) THEN
        PERFORM CASE WHEN alone THEN pg_advisory_xact_lock(document) ELSE pg_advisory_xact_lock_shared(document) END FROM (
            SELECT hashtextextended(issuer || ' ' || transaction_id, 51) AS document, bool_or(unknown) AS alone FROM (
                SELECT issuer, transaction_id, false AS unknown FROM added
                UNION ALL
                SELECT issuer, credits_transaction_id, true FROM added WHERE kind = 'credit_note' AND credits_transaction_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM invoices i WHERE i.issuer = added.issuer AND i.transaction_id = added.credits_transaction_id)
            ) AS documents GROUP BY 1 ORDER BY 1
        ) AS turns;
    END IF;
    INSERT INTO handovers (invoice_id, channel, due_at)
    SELECT added.id, c.name, statement_timestamp() FROM added JOIN handover_channels c ON c.until IS NULL
        AND (c.issuers IS NULL OR added.issuer = ANY (c.issuers)) AND (c.series IS NULL OR added.series = ANY (c.series)) AND (c.kinds IS NULL OR added.kind = ANY (c.kinds))
    WHERE added.kind <> 'credit_note' ORDER BY added.id;
    IF EXISTS (SELECT FROM added WHERE kind = 'credit_note') THEN
        INSERT INTO handovers (invoice_id, channel, credits, due_at)
        SELECT added.id, c.name, credited.id, CASE WHEN NOT c.await_clearance OR credited.id IS NULL OR credited.clearance IS NOT NULL THEN statement_timestamp() END
        FROM added JOIN handover_channels c ON c.until IS NULL
            AND (c.issuers IS NULL OR added.issuer = ANY (c.issuers)) AND (c.series IS NULL OR added.series = ANY (c.series)) AND (c.kinds IS NULL OR added.kind = ANY (c.kinds))
        LEFT JOIN LATERAL (
            SELECT h.id, h.clearance FROM invoices i JOIN handovers h ON h.invoice_id = i.id
            WHERE i.issuer = added.issuer AND i.transaction_id = added.credits_transaction_id AND h.channel = c.name
            ORDER BY h.id LIMIT 1 FOR SHARE OF h
        ) credited ON true
        WHERE added.kind = 'credit_note' ORDER BY added.id;
    END IF;
    -- Credit notes that came before. One that was tried already, or that an operator has sent, goes on: the other side may have it.
    FOR early IN SELECT added.id AS invoice_id, notes.id AS note_id FROM added CROSS JOIN LATERAL (
        SELECT i.id FROM invoices i WHERE i.issuer = added.issuer AND i.credits_transaction_id = added.transaction_id AND i.kind = 'credit_note' OFFSET 0 -- by the index
    ) AS notes ORDER BY notes.id LOOP
        UPDATE handovers n SET credits = h.id,
            due_at = CASE WHEN c.await_clearance AND n.state = 'queued' AND n.attempts = 0 AND n.changed_by IS NULL THEN NULL ELSE n.due_at END
        FROM handovers h JOIN handover_channels c ON c.name = h.channel AND c.until IS NULL
        WHERE h.invoice_id = early.invoice_id AND n.invoice_id = early.note_id AND n.channel = h.channel AND n.credits IS NULL;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- With the personal data of an invoice go addresses, answers and reasons. What isn't handed over yet never is: there is no document any more.
-- +goose StatementBegin
CREATE FUNCTION erase_handovers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    ids bigint[];
BEGIN
    IF TG_RELID <> 'invoices'::regclass THEN -- as above
        RAISE EXCEPTION 'erase_handovers is for invoices' USING ERRCODE = 'insufficient_privilege';
    END IF;
    WITH erased AS (
        UPDATE handovers SET erased_at = clock_timestamp(), error = NULL, answer = NULL, reason = NULL, changed_by = NULL,
            address = CASE address WHEN '' THEN '' ELSE 'erased ' || id END, state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
            due_at = CASE state WHEN 'queued' THEN NULL ELSE due_at END, in_hand = in_hand AND state <> 'queued'
        WHERE erased_at IS NULL AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL) RETURNING id
    ) SELECT array_agg(id) INTO ids FROM erased;
    -- In a statement of its own: its snapshot sees the history of an answer that was waited for. One that comes from now on waits, and leaves no words.
    UPDATE handover_log SET error = NULL, answer = NULL, reason = NULL WHERE handover_id = ANY (ids) AND num_nonnulls(error, answer, reason) > 0;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- A state follows another only as a hand-over goes. What has ended stays as it is, unless an operator, who is named, sends it again. Where that is to
-- another address, or what is queued is to go to one, a process that has it in hand isn't heard any more: its turn is over.
-- +goose StatementBegin
CREATE FUNCTION guard_handovers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    erasing boolean;
    changes boolean;
    resent  boolean;
    step text;
    was handovers;
BEGIN
    IF TG_RELID <> 'handovers'::regclass THEN -- as above
        RAISE EXCEPTION 'guard_handovers is for handovers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state = 'queued' AND NEW.turn = 0 AND NEW.attempts = 0 AND NEW.their_id IS NULL AND NEW.clearance IS NULL AND NEW.answer IS NULL AND NEW.erased_at IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        erasing := OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL AND EXISTS (SELECT FROM invoices WHERE id = OLD.invoice_id AND erasure_id IS NOT NULL);
        IF NEW.erased_at IS NOT NULL THEN -- an answer may come after the erasure
            NEW.error := NULL;
            NEW.answer := NULL;
            NEW.reason := NULL;
        END IF;
        IF OLD.credits IS NULL AND NEW.credits IS NOT NULL THEN -- what it credits came after it
            was := OLD;
            was.credits := NEW.credits;
            was.due_at := NEW.due_at;
            IF NEW IS NOT DISTINCT FROM was AND (NEW.due_at IS NULL OR NEW.due_at = OLD.due_at) AND EXISTS (
                SELECT FROM handovers h JOIN invoices i ON i.id = h.invoice_id JOIN invoices n ON n.issuer = i.issuer AND n.credits_transaction_id = i.transaction_id
                WHERE h.id = NEW.credits AND h.channel = OLD.channel AND n.id = OLD.invoice_id)
            THEN
                RETURN NEW;
            END IF;
        END IF;
        changes := NEW.state <> OLD.state;
        resent := NEW.state = 'queued' AND (changes OR NEW.changed_by IS NOT NULL AND NEW.turn > OLD.turn AND NEW.erased_at IS NULL);
        step := OLD.state || ' ' || NEW.state;
        IF (NEW.id, NEW.invoice_id, NEW.channel, NEW.credits, NEW.since) IS NOT DISTINCT FROM (OLD.id, OLD.invoice_id, OLD.channel, OLD.credits, OLD.since)
            AND (erasing OR NEW.erased_at IS NOT DISTINCT FROM OLD.erased_at)
            AND (erasing OR NEW.address = OLD.address OR resent)
            AND (NEW.key = OLD.key OR resent)
            AND (NEW.clearance IS NOT DISTINCT FROM OLD.clearance OR OLD.clearance IS NULL OR changes AND NEW.state = 'queued')
            AND (CASE -- in brackets, or the IF would end at its first THEN
                WHEN erasing THEN NOT changes OR step = 'queued cancelled'
                WHEN NOT changes THEN OLD.state IN ('queued', 'sent', 'cleared')
                WHEN step IN ('queued sent', 'queued cleared', 'queued accepted', 'queued rejected', 'queued failed', 'sent cleared', 'sent accepted', 'sent rejected',
                    'cleared accepted', 'cleared rejected') THEN true
                ELSE NEW.changed_by IS NOT NULL AND step IN ('queued cancelled', 'rejected cancelled', 'failed cancelled', 'failed cleared', 'failed accepted', 'failed rejected')
                    OR NEW.changed_by IS NOT NULL AND NEW.erased_at IS NULL AND step IN ('sent queued', 'rejected queued', 'failed queued', 'cancelled queued')
            END)
        THEN
            IF changes OR OLD.due_at IS NULL AND NEW.due_at IS NOT NULL THEN
                NEW.changed_at := clock_timestamp();
            END IF;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: this is no step that a hand-over takes', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'handovers_steps', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- Each change is noted. Who waits for a clearance needn't any more once it is there.
-- +goose StatementBegin
CREATE FUNCTION note_handover() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> 'handovers'::regclass THEN -- as above
        RAISE EXCEPTION 'note_handover is for handovers' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.state, NEW.key, NEW.error, NEW.their_id, NEW.clearance, NEW.answer, NEW.changed_by, NEW.reason)
            IS NOT DISTINCT FROM (OLD.state, OLD.key, OLD.error, OLD.their_id, OLD.clearance, OLD.answer, OLD.changed_by, OLD.reason) THEN
            RETURN NULL;
        END IF;
        IF NEW.clearance IS NOT NULL AND OLD.clearance IS NULL THEN
            UPDATE handovers SET due_at = clock_timestamp() WHERE credits = NEW.id AND state = 'queued' AND due_at IS NULL;
        END IF;
    END IF;
    INSERT INTO handover_log (handover_id, state, key, attempts, error, their_id, clearance, answer, changed_by, reason)
    VALUES (NEW.id, NEW.state, NEW.key, NEW.attempts, NEW.error, NEW.their_id, NEW.clearance, NEW.answer, NEW.changed_by, NEW.reason);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The history is only added to; of what an erased invoice has there, texts go.
-- +goose StatementBegin
CREATE FUNCTION guard_handover_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    was handover_log;
BEGIN
    IF TG_RELID <> 'handover_log'::regclass THEN -- as above
        RAISE EXCEPTION 'guard_handover_log is for handover_log' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        was := OLD;
        was.error := NULL;
        was.answer := NULL;
        was.reason := NULL;
        IF NEW IS NOT DISTINCT FROM was AND EXISTS (SELECT FROM handovers h JOIN invoices i ON i.id = h.invoice_id WHERE h.id = OLD.handover_id AND i.erasure_id IS NOT NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: the history of hand-overs is only added to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'handover_log_append_only', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd

-- The channels are these from now on. Where one changes, whoever writes invoices is waited for, so that it is known which invoices each channel is owed. All
-- of them have a lock of the channels, which is waited for. One of the invoices would have to wait for a vacuum of theirs, or an index that is built, too;
-- and whoever writes one, behind it.
-- +goose StatementBegin
CREATE FUNCTION owe_channels(channels jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    last bigint;
BEGIN
    FOR pass IN 1 .. 2 LOOP
        IF NOT EXISTS (
            (SELECT name, kind, await_clearance, issuers, series, kinds FROM jsonb_to_recordset(channels) AS w (name text, kind text, await_clearance boolean, issuers text[], series text[], kinds text[])
             EXCEPT SELECT name, kind, await_clearance, issuers, series, kinds FROM handover_channels WHERE until IS NULL)
            UNION ALL
            (SELECT name, kind, await_clearance, issuers, series, kinds FROM handover_channels WHERE until IS NULL
             EXCEPT SELECT name, kind, await_clearance, issuers, series, kinds FROM jsonb_to_recordset(channels) AS w (name text, kind text, await_clearance boolean, issuers text[], series text[], kinds text[]))
        ) THEN
            RETURN;
        END IF;
        IF pass = 1 THEN -- another process may be doing the same
            LOCK TABLE handover_channels IN SHARE ROW EXCLUSIVE MODE;
        END IF;
    END LOOP;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM invoices_id_seq INTO last;
    UPDATE handover_channels h SET until = clock_timestamp(), last_invoice = last
    WHERE until IS NULL AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset(channels) AS w (name text, kind text, await_clearance boolean, issuers text[], series text[], kinds text[])
        WHERE (w.name, w.kind, w.await_clearance, w.issuers, w.series, w.kinds) IS NOT DISTINCT FROM (h.name, h.kind, h.await_clearance, h.issuers, h.series, h.kinds));
    INSERT INTO handover_channels (name, kind, await_clearance, issuers, series, kinds, after_invoice)
    SELECT w.name, w.kind, w.await_clearance, w.issuers, w.series, w.kinds, last
    FROM jsonb_to_recordset(channels) AS w (name text, kind text, await_clearance boolean, issuers text[], series text[], kinds text[])
    WHERE NOT EXISTS (SELECT FROM handover_channels h WHERE h.until IS NULL AND h.name = w.name);
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION owe_handovers(), erase_handovers(), guard_handovers(), note_handover(), guard_handover_log(), owe_channels(jsonb) FROM PUBLIC;

CREATE TRIGGER invoices_owe_handovers AFTER INSERT ON invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION owe_handovers();
CREATE TRIGGER invoices_erase_handovers AFTER UPDATE ON invoices REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION erase_handovers();
CREATE TRIGGER handovers_steps BEFORE INSERT OR UPDATE OR DELETE ON handovers FOR EACH ROW EXECUTE FUNCTION guard_handovers();
CREATE TRIGGER handovers_no_truncate BEFORE TRUNCATE ON handovers FOR EACH STATEMENT EXECUTE FUNCTION guard_handovers();
CREATE TRIGGER handovers_noted AFTER INSERT OR UPDATE ON handovers FOR EACH ROW EXECUTE FUNCTION note_handover();
CREATE TRIGGER handover_log_append_only BEFORE UPDATE OR DELETE ON handover_log FOR EACH ROW EXECUTE FUNCTION guard_handover_log();
CREATE TRIGGER handover_log_no_truncate BEFORE TRUNCATE ON handover_log FOR EACH STATEMENT EXECUTE FUNCTION guard_handover_log();

COMMENT ON TABLE handover_channels IS 'Through which channels invoices are handed over, and of which invoices that holds.';
COMMENT ON COLUMN handover_channels.id IS 'Identity of the row.';
COMMENT ON COLUMN handover_channels.name IS 'Its name in the configuration.';
COMMENT ON COLUMN handover_channels.kind IS 'email, https or program.';
COMMENT ON COLUMN handover_channels.await_clearance IS 'Whether a credit note waits for the clearance of what it credits.';
COMMENT ON COLUMN handover_channels.issuers IS 'Of whose invoices alone. NULL: of all.';
COMMENT ON COLUMN handover_channels.series IS 'Of which series alone. NULL: of all.';
COMMENT ON COLUMN handover_channels.kinds IS 'Which kinds alone: invoice, credit_note. NULL: both.';
COMMENT ON COLUMN handover_channels.since IS 'Since when it is as this row says.';
COMMENT ON COLUMN handover_channels.after_invoice IS 'The last invoice for which that didn''t hold yet.';
COMMENT ON COLUMN handover_channels.until IS 'Until when it was. NULL: it still is.';
COMMENT ON COLUMN handover_channels.last_invoice IS 'The last invoice for which that held.';
COMMENT ON COLUMN handover_channels.late IS 'Invoices up to that one which were written after it held.';
COMMENT ON TABLE handovers IS 'What is handed over of invoices, through which channel, and what came of it.';
COMMENT ON COLUMN handovers.id IS 'Identity of the row. Gaps mean nothing.';
COMMENT ON COLUMN handovers.key IS 'By which the other side knows a repeat. A new one only where an operator has it sent again as another one.';
COMMENT ON COLUMN handovers.invoice_id IS 'The invoice''s row.';
COMMENT ON COLUMN handovers.channel IS 'The channel''s name.';
COMMENT ON COLUMN handovers.address IS 'To whom, if an operator has said so, and else nothing: to whom the invoice names.';
COMMENT ON COLUMN handovers.credits IS 'Of a credit note: how the invoice that it credits was handed over through the same channel.';
COMMENT ON COLUMN handovers.state IS 'queued, sent, cleared, accepted, rejected, failed or cancelled.';
COMMENT ON COLUMN handovers.since IS 'Since when it is owed.';
COMMENT ON COLUMN handovers.changed_at IS 'Since when it has its state, or doesn''t wait any more.';
COMMENT ON COLUMN handovers.due_at IS 'When it is tried or asked about next; while that is under way, when another process may do so. NULL: it isn''t. Queued without it waits for a clearance.';
COMMENT ON COLUMN handovers.in_hand IS 'Whether a process has begun to try it or to ask about it, and hasn''t said yet what came of it. Past due_at it is gone.';
COMMENT ON COLUMN handovers.turn IS 'How often a process took it in hand: what one says that isn''t the last is ignored.';
COMMENT ON COLUMN handovers.attempts IS 'How often it was tried in vain in its state, with the try under way.';
COMMENT ON COLUMN handovers.doubts IS 'How often a try ended so that nobody knows whether the other side took it, since it was last sent again by an operator.';
COMMENT ON COLUMN handovers.error IS 'What went wrong at the last try. NULL: nothing.';
COMMENT ON COLUMN handovers.their_id IS 'By which id the other side knows it.';
COMMENT ON COLUMN handovers.clearance IS 'The id with which it was cleared, which a credit note quotes.';
COMMENT ON COLUMN handovers.answer IS 'What the other side said in words.';
COMMENT ON COLUMN handovers.answered_at IS 'When it last said something.';
COMMENT ON COLUMN handovers.changed_by IS 'Who made the last change. NULL: a worker.';
COMMENT ON COLUMN handovers.reason IS 'Why they did.';
COMMENT ON COLUMN handovers.erased_at IS 'When its texts were erased with the personal data of its invoice.';
COMMENT ON TABLE handover_log IS 'What became of each hand-over, change by change.';
COMMENT ON COLUMN handover_log.id IS 'Identity of the row, in the order of the changes of one hand-over.';
COMMENT ON COLUMN handover_log.handover_id IS 'The hand-over.';
COMMENT ON COLUMN handover_log.at IS 'When it changed.';
COMMENT ON COLUMN handover_log.state IS 'Its state from then on.';
COMMENT ON COLUMN handover_log.key IS 'Its key from then on.';
COMMENT ON COLUMN handover_log.attempts IS 'How often it had been tried in vain.';
COMMENT ON COLUMN handover_log.error IS 'What had gone wrong.';
COMMENT ON COLUMN handover_log.their_id IS 'The other side''s id.';
COMMENT ON COLUMN handover_log.clearance IS 'The id with which it was cleared.';
COMMENT ON COLUMN handover_log.answer IS 'What the other side had said in words.';
COMMENT ON COLUMN handover_log.changed_by IS 'Who changed it. NULL: a worker.';
COMMENT ON COLUMN handover_log.reason IS 'Why they did.';
COMMENT ON FUNCTION owe_handovers() IS 'Trigger: notes which hand-overs are owed of new invoices.';
COMMENT ON FUNCTION erase_handovers() IS 'Trigger: erases what hand-overs of erased invoices say.';
COMMENT ON FUNCTION guard_handovers() IS 'Trigger: hand-overs take legal steps alone.';
COMMENT ON FUNCTION note_handover() IS 'Trigger: notes each change of a hand-over, and lets those that wait for its clearance go.';
COMMENT ON FUNCTION guard_handover_log() IS 'Trigger: the history of hand-overs is only added to.';
COMMENT ON FUNCTION owe_channels(jsonb) IS 'Sets through which channels each invoice is handed over.';

-- +goose Down

LOCK TABLE invoices IN SHARE ROW EXCLUSIVE MODE; -- as above
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM handovers) THEN
        RAISE EXCEPTION 'migrating down refused: there are invoices that were handed over'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'handovers';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoices_owe_handovers ON invoices;
DROP TRIGGER invoices_erase_handovers ON invoices;
DROP TABLE handover_log, handovers, handover_channels;
DROP FUNCTION owe_handovers(), erase_handovers(), guard_handovers(), note_handover(), guard_handover_log(), owe_channels(jsonb);
