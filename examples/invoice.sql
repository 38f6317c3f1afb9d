-- Asks for the invoice of a transaction, in the database that holds the ledger, and prints its number:
--
--   psql -XqAt -v ON_ERROR_STOP=1 -v transaction=536365 -f invoice.sql postgres://…
--
-- The role needs invoicer_producer, and invoicer_reader to see the number. In a service, accept belongs into the transaction that
-- it is for: then the job exists if and only if that is committed.
--
-- The job's id is made from the transaction's, so that whoever runs this again, for example since the answer to its COMMIT was lost,
-- asks for the same job. There is one invoice, whatever the id.
\if :{?transaction}
\else
    \set transaction 536365
\endif
SET client_min_messages = warning;

BEGIN;
SELECT invoicer.accept(
    payload := jsonb_build_object(
        'transaction_id', :'transaction',
        'issued_at', '2010-12-01T08:26:00Z',
        'currency', 'GBP',
        'lines', jsonb_build_array(jsonb_build_object('sku', '85123A', 'quantity', 6, 'unit_price', '2.55'))),
    queue := 'default',
    job_id := md5('invoice ' || :'transaction')::uuid) AS job_id \gset
COMMIT;

-- A minute at most. Each look is a transaction of its own, so that it sees what was committed meanwhile.
SELECT set_config('example.transaction', :'transaction', false) AS transaction \gset
DO $$
DECLARE
    now_is text;
BEGIN
    FOR look IN 1..600 LOOP
        SELECT state INTO now_is FROM invoicer.lookup(current_setting('example.transaction'));
        EXIT WHEN now_is NOT IN ('accepted', 'enqueued', 'paused');
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
    IF now_is <> 'invoiced' THEN
        RAISE 'no invoice yet, the transaction is %', now_is;
    END IF;
END $$;
SELECT invoice_number FROM invoicer.lookup(:'transaction');
