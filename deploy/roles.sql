-- The roles of invoicer for the schema invoicer of one database, as 'invoicer roles --sql' prints them.
--
--   1. psql -v ON_ERROR_STOP=1 -f roles.sql, as a role that has CREATEROLE, and CREATE on the database or the schema. It needs to be no
--      superuser. In a database that has the schema already, run it as the owner of the tables, or as a superuser.
--   2. invoicer migrate up, as a member of invoicer_migrator.
--   3. psql -v ON_ERROR_STOP=1 -f roles.sql again: now there are tables to give rights to.
--
-- After each upgrade run steps 2 and 3, with the file of the new release. Rights aren't given in advance (ALTER DEFAULT PRIVILEGES): what a
-- new table holds, and who needs it, only its release knows. Until step 3, the programs of the release before work as before.
-- It changes only rights of these roles, the owner of what is in the schema, and PUBLIC's right to call functions that run with their
-- owner's rights. All of it happens, or nothing.
--
-- The roles can't log in. Make login roles that are members of one each, such as
--
--   CREATE ROLE shop LOGIN PASSWORD '...' IN ROLE invoicer_producer;
--   CREATE ROLE worker LOGIN PASSWORD '...' IN ROLE invoicer_worker;
--   CREATE ROLE deploy LOGIN PASSWORD '...' IN ROLE invoicer_migrator;
--   ALTER ROLE deploy SET role = 'invoicer_migrator';  -- so that what it creates is the migrator's

BEGIN;
SET LOCAL lock_timeout = '5s';  -- a table that is given to the migrator, at the first run, waits for its readers and holds up others

DO $roles$
DECLARE
    one text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('invoicer roles'));  -- two of these at once would change the same rows
    FOREACH one IN ARRAY ARRAY['invoicer_migrator', 'invoicer_worker', 'invoicer_api', 'invoicer_producer', 'invoicer_operator', 'invoicer_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', one);
        END IF;
    END LOOP;
    IF NOT pg_has_role('invoicer_migrator', 'USAGE') THEN
        GRANT invoicer_migrator TO CURRENT_USER;  -- only an owner gives rights
    END IF;
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'invoicer') THEN
        CREATE SCHEMA invoicer AUTHORIZATION invoicer_migrator;
    END IF;
    IF has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO invoicer_migrator, invoicer_worker, invoicer_api, invoicer_producer, invoicer_operator, invoicer_reader', current_database());
    END IF;
END $roles$;

-- All that is in the schema becomes the migrator's. Who owned it until now stays a member of the migrator, so that programs that run as
-- that role go on: revoke it (REVOKE invoicer_migrator FROM ...) once they have roles of their own.
DO $roles$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT 1 AS place, format('SCHEMA %I', nspname) AS object, nspowner AS owner FROM pg_namespace WHERE nspname = 'invoicer'
        UNION ALL
        SELECT 2, format('%s %I.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, nspname, relname), relowner
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = 'invoicer'
        WHERE relkind IN ('r', 'p', 'v', 'S') AND NOT EXISTS (  -- a column's sequence goes with its table
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i') AND refobjsubid > 0)
        UNION ALL
        SELECT 3, format('FUNCTION %I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)), proowner
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace AND nspname = 'invoicer'
        ORDER BY 1, 2
    LOOP
        CONTINUE WHEN one.owner = to_regrole('invoicer_migrator');
        IF NOT pg_has_role(one.owner, 'USAGE') THEN
            RAISE EXCEPTION '% is owned by %: run this as that role, which needs to be a member of invoicer_migrator, or as a superuser',
                one.object, pg_get_userbyid(one.owner) USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NOT pg_has_role(one.owner, 'invoicer_migrator', 'MEMBER') THEN
            EXECUTE format('GRANT invoicer_migrator TO %I', pg_get_userbyid(one.owner));
        END IF;
        EXECUTE format('ALTER %s OWNER TO invoicer_migrator', one.object);
    END LOOP;
END $roles$;

DO $roles$
DECLARE
    one regprocedure;
BEGIN
    IF to_regclass('invoicer.goose_db_version') IS NULL THEN
        RAISE NOTICE 'there are no tables yet: run invoicer migrate up, and then this again';
        RETURN;
    END IF;

    -- What a release before gave, and what was given by hand.
    REVOKE ALL ON SCHEMA invoicer FROM invoicer_worker, invoicer_api, invoicer_producer, invoicer_operator, invoicer_reader;
    REVOKE ALL ON ALL TABLES IN SCHEMA invoicer FROM invoicer_worker, invoicer_api, invoicer_producer, invoicer_operator, invoicer_reader;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA invoicer FROM invoicer_worker, invoicer_api, invoicer_producer, invoicer_operator, invoicer_reader;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA invoicer FROM invoicer_worker, invoicer_api, invoicer_producer, invoicer_operator, invoicer_reader;

    -- Functions that run with their owner's rights aren't everybody's.
    FOR one IN SELECT pg_proc.oid FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace AND nspname = 'invoicer' WHERE prosecdef LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
    END LOOP;

    -- invoicer_worker may work, and serve a worker's pages: add invoices, but never change or delete them.
    GRANT USAGE ON SCHEMA invoicer TO invoicer_worker;
    GRANT SELECT ON TABLE
        invoicer.database_identity, invoicer.erasure_holds, invoicer.erasures, invoicer.event_secrets, invoicer.events,
        invoicer.goose_db_version, invoicer.handover_channels, invoicer.handover_log, invoicer.imported_invoices,
        invoicer.issuers, invoicer.reserved_numbers, invoicer.settings, invoicer.tokens
        TO invoicer_worker;
    GRANT SELECT, INSERT ON TABLE
        invoicer.actions, invoicer.capabilities, invoicer.documents, invoicer.duplicate_attempts,
        invoicer.invoice_job_actions, invoicer.invoice_lines, invoicer.invoice_links, invoicer.invoice_taxes,
        invoicer.invoices, invoicer.series
        TO invoicer_worker;
    GRANT SELECT, INSERT, DELETE ON TABLE
        invoicer.job_attempts
        TO invoicer_worker;
    GRANT SELECT, INSERT, UPDATE ON TABLE
        invoicer.event_endpoints, invoicer.invoice_jobs, invoicer.invoice_series, invoicer.ledger_queues,
        invoicer.producer_counts, invoicer.replays, invoicer.seen_server
        TO invoicer_worker;
    GRANT SELECT, UPDATE ON TABLE
        invoicer.document_leftovers, invoicer.documents_owed, invoicer.event_deliveries, invoicer.handovers,
        invoicer.queue_nonces
        TO invoicer_worker;
    GRANT USAGE ON SEQUENCE
        invoicer.invoices_id_seq
        TO invoicer_worker;
    GRANT EXECUTE ON FUNCTION
        invoicer.accept_many(text[], text, uuid[], boolean),
        invoicer.accept_request(text, text, uuid, text, text, text, bytea, bytea, text),
        invoicer.accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean),
        invoicer.announce_object, invoicer.claim_events, invoicer.claim_leftovers, invoicer.credit_problem,
        invoicer.erasing_lock, invoicer.has_several_taxes, invoicer.is_identifier, invoicer.job_field,
        invoicer.list_horizon(text), invoicer.owe_channels, invoicer.owe_formats, invoicer.record_ends_with_differences,
        invoicer.record_events, invoicer.replace_problem, invoicer.request_asked(text, text, text, bytea, boolean),
        invoicer.set_endpoint_secret(bigint, text), invoicer.settle_events, invoicer.settle_leftover,
        invoicer.test_endpoint(bigint)
        TO invoicer_worker;

    -- invoicer_api may serve the pages and the API without taking jobs: accept and replay jobs, but add no invoice.
    GRANT USAGE ON SCHEMA invoicer TO invoicer_api;
    GRANT SELECT ON TABLE
        invoicer.database_identity, invoicer.document_leftovers, invoicer.duplicate_attempts, invoicer.erasure_holds,
        invoicer.erasures, invoicer.events, invoicer.goose_db_version, invoicer.handover_channels,
        invoicer.handover_log, invoicer.imported_invoices, invoicer.invoice_lines, invoicer.invoice_links,
        invoicer.invoice_series, invoicer.invoice_taxes, invoicer.invoices, invoicer.issuers, invoicer.job_attempts,
        invoicer.ledger_queues, invoicer.producer_counts, invoicer.reserved_numbers, invoicer.series, invoicer.settings,
        invoicer.tokens
        TO invoicer_api;
    GRANT SELECT, INSERT ON TABLE
        invoicer.actions, invoicer.documents, invoicer.invoice_job_actions
        TO invoicer_api;
    GRANT SELECT, INSERT, UPDATE ON TABLE
        invoicer.event_endpoints, invoicer.replays
        TO invoicer_api;
    GRANT SELECT, UPDATE ON TABLE
        invoicer.event_deliveries, invoicer.handovers, invoicer.invoice_jobs
        TO invoicer_api;
    GRANT EXECUTE ON FUNCTION
        invoicer.accept_many(text[], text, uuid[], boolean),
        invoicer.accept_request(text, text, uuid, text, text, text, bytea, bytea, text),
        invoicer.accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean),
        invoicer.announce_object, invoicer.credit_problem, invoicer.job_field, invoicer.list_horizon(text),
        invoicer.replace_problem, invoicer.request_asked(text, text, text, bytea, boolean),
        invoicer.set_endpoint_secret(bigint, text), invoicer.test_endpoint(bigint)
        TO invoicer_api;

    -- invoicer_producer may ask for invoices, and how a transaction stands: call functions, but read no table.
    GRANT USAGE ON SCHEMA invoicer TO invoicer_producer;
    GRANT EXECUTE ON FUNCTION
        invoicer.accept(jsonb, text, uuid, boolean), invoicer.accept(text, text, uuid, boolean),
        invoicer.accept_many(jsonb, text, uuid[], boolean), invoicer.accept_many(text, text, uuid[], boolean),
        invoicer.accept_many(text[], text, uuid[], boolean), invoicer.lookup(text, text),
        invoicer.refuse_unknown_queue(text)
        TO invoicer_producer;

    -- invoicer_operator may read, mend and set up.
    GRANT USAGE ON SCHEMA invoicer TO invoicer_operator;
    GRANT SELECT ON TABLE
        invoicer.database_identity, invoicer.document_leftovers, invoicer.erasures, invoicer.goose_db_version,
        invoicer.handover_channels, invoicer.handover_log, invoicer.invoice_lines, invoicer.invoice_links,
        invoicer.invoice_taxes, invoicer.invoices, invoicer.ledger_queues, invoicer.seen_server
        TO invoicer_operator;
    GRANT SELECT, DELETE ON TABLE
        invoicer.api_requests, invoicer.duplicate_attempts, invoicer.events, invoicer.job_attempts,
        invoicer.producer_counts, invoicer.replays
        TO invoicer_operator;
    GRANT SELECT, INSERT ON TABLE
        invoicer.actions, invoicer.documents, invoicer.invoice_job_actions, invoicer.issuers, invoicer.reserved_numbers,
        invoicer.series, invoicer.settings
        TO invoicer_operator;
    GRANT SELECT, INSERT, UPDATE ON TABLE
        invoicer.erasure_holds, invoicer.event_endpoints, invoicer.imported_invoices, invoicer.tokens
        TO invoicer_operator;
    GRANT SELECT, UPDATE ON TABLE
        invoicer.handovers, invoicer.invoice_series, invoicer.queue_nonces
        TO invoicer_operator;
    GRANT SELECT, UPDATE, DELETE ON TABLE
        invoicer.event_deliveries, invoicer.invoice_jobs
        TO invoicer_operator;
    GRANT EXECUTE ON FUNCTION
        invoicer.announce_object, invoicer.begin_erasure, invoicer.credit_problem, invoicer.end_erasure,
        invoicer.erase_invoices, invoicer.erase_payloads, invoicer.job_field, invoicer.list_horizon(text),
        invoicer.replace_problem, invoicer.set_endpoint_secret(bigint, text), invoicer.test_endpoint(bigint)
        TO invoicer_operator;

    -- invoicer_reader may read, but not tokens.
    GRANT USAGE ON SCHEMA invoicer TO invoicer_reader;
    GRANT SELECT ON TABLE
        invoicer.actions, invoicer.database_identity, invoicer.document_leftovers, invoicer.documents,
        invoicer.duplicate_attempts, invoicer.erasure_holds, invoicer.erasures, invoicer.event_deliveries,
        invoicer.event_endpoints, invoicer.events, invoicer.goose_db_version, invoicer.handover_channels,
        invoicer.handover_log, invoicer.handovers, invoicer.imported_invoices, invoicer.invoice_job_actions,
        invoicer.invoice_jobs, invoicer.invoice_lines, invoicer.invoice_links, invoicer.invoice_series,
        invoicer.invoice_taxes, invoicer.invoices, invoicer.issuers, invoicer.job_attempts, invoicer.ledger_queues,
        invoicer.producer_counts, invoicer.replays, invoicer.reserved_numbers, invoicer.series, invoicer.settings
        TO invoicer_reader;
    GRANT EXECUTE ON FUNCTION
        invoicer.job_field, invoicer.list_horizon(text)
        TO invoicer_reader;
END $roles$;

COMMIT;
