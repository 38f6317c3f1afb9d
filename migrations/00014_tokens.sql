-- +goose Up

-- A definer's function must not find anything in its caller's temporary schema, which is searched first unless named.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Who may use the pages and the API. Of a token only its SHA-256 is kept. A row stays when its token is revoked, because
-- what was done with the token is on record under its name.
CREATE TABLE tokens (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    name            text        NOT NULL,
    hash            bytea       NOT NULL,
    roles           text[]      NOT NULL,
    producer        text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      text        NOT NULL,
    created_by_role text        NOT NULL DEFAULT session_user, -- the database's word for it
    expires_at      timestamptz,
    revoked_at      timestamptz,
    revoked_by      text,
    revoked_by_role text,
    CONSTRAINT tokens_pkey PRIMARY KEY (id),
    CONSTRAINT tokens_hash_key UNIQUE (hash),
    CONSTRAINT tokens_name_check CHECK (name ~ '^[A-Za-z0-9._:/@+=-]{1,64}$'),
    CONSTRAINT tokens_name_local_check CHECK (name <> 'local'), -- as visitors without a token are called
    CONSTRAINT tokens_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT tokens_roles_check CHECK (roles <@ ARRAY['read', 'operate', 'enqueue']),
    CONSTRAINT tokens_some_role_check CHECK (cardinality(roles) > 0),
    CONSTRAINT tokens_producer_check CHECK (producer ~ '^[A-Za-z0-9._:/@+=-]{1,64}$'),
    CONSTRAINT tokens_created_by_check CHECK (created_by <> ''),
    CONSTRAINT tokens_expires_at_check CHECK (expires_at > created_at),
    CONSTRAINT tokens_revoked_by_check CHECK (revoked_at IS NULL OR coalesce(revoked_by, '') <> '')
);
CREATE UNIQUE INDEX tokens_name_key ON tokens (name) WHERE revoked_at IS NULL;

-- +goose StatementBegin
CREATE FUNCTION guard_tokens() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    before tokens;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_by_role := session_user;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        before := OLD;
        before.revoked_at := NEW.revoked_at;
        before.revoked_by := NEW.revoked_by;
        before.revoked_by_role := NEW.revoked_by_role;
        IF OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND before IS NOT DISTINCT FROM NEW THEN
            NEW.revoked_by_role := session_user;
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: a token is never changed or deleted, only revoked', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'tokens_kept', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION guard_tokens() FROM PUBLIC;
CREATE TRIGGER tokens_kept BEFORE INSERT OR UPDATE OR DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION guard_tokens();
CREATE TRIGGER tokens_no_truncate BEFORE TRUNCATE ON tokens FOR EACH STATEMENT EXECUTE FUNCTION guard_tokens();

-- +goose Down

-- Locked first: what is committed between a look into the table and its end would be lost unseen.
LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE;
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM tokens) THEN
        RAISE EXCEPTION 'migrating down refused: it would delete tokens, and with them who had which'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'tokens';
    END IF;
END $$;
-- +goose StatementEnd
DROP TABLE tokens;
DROP FUNCTION guard_tokens();
