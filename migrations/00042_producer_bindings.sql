-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Without a row a role asks for whatever accept takes.
CREATE TABLE producer_bindings (
    role     text        NOT NULL,
    producer text,
    queues   text[],
    issuers  text[],
    series   text[],
    note     text,
    bound_by text        NOT NULL DEFAULT session_user,
    bound_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT producer_bindings_pkey PRIMARY KEY (role),
    CONSTRAINT producer_bindings_producer_check CHECK (producer ~ '^[A-Za-z0-9._:/@+=-]+$' AND length(producer) <= 64),
    CONSTRAINT producer_bindings_something_check CHECK (num_nonnulls(producer, queues, issuers, series) > 0),
    CONSTRAINT producer_bindings_lists_check CHECK (array_position(queues || issuers || series, NULL) IS NULL)  -- a NULL in a list would let all through
);

-- The payload of such a job names no producer. It stays as it was sent, so that a retry of it is known again.
ALTER TABLE invoice_jobs ADD COLUMN producer_bound boolean;

-- It looks at each job that is accepted, by whichever function or statement, and not at what workers record. session_user is who has
-- signed in: neither SET ROLE nor a function that runs with its owner's rights changes it.
-- +goose StatementBegin
CREATE FUNCTION bind_producer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    bound  producer_bindings;
    stated text;
    field  text;
    wants  text;
BEGIN
    -- On a table of somebody else's, it would tell them how roles are bound.
    IF TG_RELID <> 'invoice_jobs'::regclass THEN
        RAISE EXCEPTION 'bind_producer is for invoice_jobs' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO bound FROM producer_bindings WHERE role = session_user::text;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF bound.series IS NOT NULL THEN
        stated := coalesce(NEW.payload::json ->> 'series', '');
    END IF;
    IF NEW.producer <> bound.producer THEN
        field := 'producer';
        wants := format('must be "%s", and is "%s"', bound.producer, NEW.producer);
    ELSIF NEW.queue <> ALL (bound.queues) THEN
        field := 'queue';
        wants := format('must be one of %s, and is "%s"', array_to_json(bound.queues), NEW.queue);
    ELSIF NEW.issuer <> ALL (bound.issuers) THEN
        field := 'issuer';
        wants := format('must be one of %s, and is "%s"', array_to_json(bound.issuers), NEW.issuer);
    ELSIF stated <> ALL (bound.series) THEN
        field := 'series';
        wants := format('must be one of %s, and is "%s"', array_to_json(bound.series), stated);
    END IF;
    IF field IS NOT NULL THEN
        RAISE EXCEPTION 'invalid job: % %: role % is bound to that', field, wants, session_user
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'producer_bindings', COLUMN = field, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
                DETAIL = 'transaction_id ' || NEW.transaction_id;
    END IF;
    IF NEW.producer IS NULL AND bound.producer IS NOT NULL THEN
        NEW.producer := bound.producer;
        NEW.producer_bound := true;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION bind_producer() FROM PUBLIC;

CREATE TRIGGER invoice_jobs_bound BEFORE INSERT ON invoice_jobs FOR EACH ROW WHEN (NEW.state = 'accepted') EXECUTE FUNCTION bind_producer();

COMMENT ON TABLE producer_bindings IS 'What a login role may ask for: accept refuses its other jobs. A role without a row asks for whatever accept takes.';
COMMENT ON COLUMN producer_bindings.role IS 'The login role, as session_user says it.';
COMMENT ON COLUMN producer_bindings.producer IS 'Its jobs are of this producer, also those that state none. NULL: of any.';
COMMENT ON COLUMN producer_bindings.queues IS 'The queues that its jobs may be for. NULL: any.';
COMMENT ON COLUMN producer_bindings.issuers IS 'The issuers that its jobs may be of, '''' for the one without a name. NULL: any.';
COMMENT ON COLUMN producer_bindings.series IS 'The series that its jobs may state, '''' for a job that states none. NULL: any.';
COMMENT ON COLUMN producer_bindings.note IS 'Why, in the words of whoever bound it. NULL if nothing was said.';
COMMENT ON COLUMN producer_bindings.bound_by IS 'The database role that bound it.';
COMMENT ON COLUMN producer_bindings.bound_at IS 'When it was bound.';
COMMENT ON COLUMN invoice_jobs.producer_bound IS 'Whether the job states no producer, and the role that asked is bound to one. NULL: no.';
COMMENT ON FUNCTION bind_producer() IS 'Trigger: a role that is bound asks only for what it may, and its jobs name its producer.';

-- +goose Down

DROP TRIGGER invoice_jobs_bound ON invoice_jobs;
DROP FUNCTION bind_producer();
ALTER TABLE invoice_jobs DROP COLUMN producer_bound;
DROP TABLE producer_bindings;
