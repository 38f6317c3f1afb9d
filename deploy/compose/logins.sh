#!/bin/sh
# Makes one login role for each part. The image of Postgres runs this once, when its volume is empty. What the roles may do comes later,
# by 'invoicer roles --apply'.
set -eu

# The passwords are read from the environment by psql itself, so that no list of processes shows them.
psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
\getenv deploy DEPLOY_PASSWORD
\getenv worker WORKER_PASSWORD
\getenv serve SERVE_PASSWORD
\getenv operator OPERATOR_PASSWORD
\getenv shop SHOP_PASSWORD
CREATE ROLE invoicer_migrator NOLOGIN;
CREATE ROLE invoicer_worker NOLOGIN;
CREATE ROLE invoicer_api NOLOGIN;
CREATE ROLE invoicer_producer NOLOGIN;
CREATE ROLE invoicer_operator NOLOGIN;
CREATE ROLE invoicer_reader NOLOGIN;
CREATE ROLE deploy LOGIN PASSWORD :'deploy' IN ROLE invoicer_migrator;
ALTER ROLE deploy SET role = 'invoicer_migrator';
CREATE ROLE worker LOGIN PASSWORD :'worker' IN ROLE invoicer_worker;
CREATE ROLE serve LOGIN PASSWORD :'serve' IN ROLE invoicer_api;
CREATE ROLE operator LOGIN PASSWORD :'operator' IN ROLE invoicer_operator;
CREATE ROLE shop LOGIN PASSWORD :'shop' IN ROLE invoicer_producer;
SQL
