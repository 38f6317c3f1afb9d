package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"invoicer/invoice/postgres/audit"
	"invoicer/migrations"
)

func TestConstraints(t *testing.T) {
	t.Parallel()
	constraint := func(begins string) map[string][]string {
		return map[string][]string{"constraints": {begins}}
	}
	testPlanted(t, []planted{
		{
			name: "missing",
			sql:  `ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key`,
			want: constraint("invoices: constraint is missing: constraint=invoices_transaction_id_key definition=<nil> expected=UNIQUE (transaction_id)"),
		},
		{
			name: "not valid",
			sql: `ALTER TABLE invoices DROP CONSTRAINT invoices_number_check;
ALTER TABLE invoices ADD CONSTRAINT invoices_number_check CHECK (number >= 1) NOT VALID`,
			want: constraint("invoices: constraint is not valid: rows from before it were never checked: constraint=invoices_number_check "),
		},
		{
			name: "weaker",
			sql: `ALTER TABLE invoices DROP CONSTRAINT invoices_number_check;
ALTER TABLE invoices ADD CONSTRAINT invoices_number_check CHECK (number >= 0)`,
			want: constraint("invoices: constraint is not what the migrations made: constraint=invoices_number_check definition=CHECK ((number >= 0)) expected=CHECK ((number >= 1))"),
		},
		{
			name: "deferred",
			sql: `ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key;
ALTER TABLE invoices ADD CONSTRAINT invoices_transaction_id_key UNIQUE (transaction_id) DEFERRABLE INITIALLY DEFERRED`,
			want: constraint("invoices: constraint is not what the migrations made: constraint=invoices_transaction_id_key definition=UNIQUE (transaction_id) DEFERRABLE INITIALLY DEFERRED "),
		},
		{
			name: "other columns",
			sql: `ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key;
ALTER TABLE invoices ADD CONSTRAINT invoices_transaction_id_key UNIQUE (transaction_id, job_id)`,
			want: constraint("invoices: constraint is not what the migrations made: constraint=invoices_transaction_id_key "),
		},
		{
			name: "invalid index",
			sql:  `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invoices_transaction_id_key'::regclass`,
			want: constraint("invoices: constraint has an invalid index: constraint=invoices_transaction_id_key "),
		},
		{
			name: "table that a crash empties",
			sql:  `ALTER TABLE duplicate_attempts SET UNLOGGED`,
			want: constraint("duplicate_attempts: table is not logged: it is empty after a crash: table=duplicate_attempts "),
		},
		{
			name: "NULL let in",
			sql:  `ALTER TABLE invoices ALTER job_id DROP NOT NULL`,
			want: constraint("invoices: column is not what the migrations made: column=job_id definition=text expected=text NOT NULL"),
		},
	})
}

// A dump that is restored has the brackets in other places, and means the same.
func TestConstraintsInOtherWords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_tax_percent_check;
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_tax_percent_check CHECK (tax_percent BETWEEN 0 AND 100 AND scale(tax_percent) <= 12)`)
	if report := b.audit(t); !report.OK() {
		t.Errorf("broken: %v", broken(report))
	}
}

// TestEveryConstraint drops all that can be dropped and wants each to be missed.
func TestEveryConstraint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS at, conname FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u', 'c', 'f') ORDER BY contype <> 'f' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.at, one.conname);
    END LOOP;
    FOR one IN SELECT tgrelid::regclass AS at, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.at);
    END LOOP;
    FOR one IN SELECT oid::regprocedure AS routine FROM pg_proc WHERE pronamespace = current_schema()::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', one.routine);
    END LOOP;
END $$`)
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]int)
	for _, findings := range broken(report) {
		for _, f := range findings {
			kind, _, _ := strings.Cut(f[strings.Index(f, ": ")+2:], " is missing:")
			missing[kind]++
		}
	}
	if missing["constraint"] < 37 || missing["trigger"] < 15 || missing["function"] < 10 {
		t.Errorf("missing: %v", missing)
	}
	for i := range report.Checks {
		check := &report.Checks[i]
		if check.Name == "triggers" && check.Broken != check.Examined {
			t.Errorf("%d of %d triggers and functions missing", check.Broken, check.Examined)
		}
	}
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	for _, c := range []planted{
		{
			name: "disabled",
			sql:  `ALTER TABLE invoices DISABLE TRIGGER invoices_immutable`,
			want: map[string][]string{"triggers": {"invoices: trigger is switched off: trigger=invoices_immutable "}},
		},
		{
			name: "for replicas only",
			sql:  `ALTER TABLE invoice_lines ENABLE REPLICA TRIGGER invoice_lines_complete`,
			want: map[string][]string{"triggers": {"invoice_lines: trigger is switched off: trigger=invoice_lines_complete "}},
		},
		{
			name: "missing",
			sql:  `DROP TRIGGER invoices_gapless ON invoices`,
			want: map[string][]string{"triggers": {"invoices: trigger is missing: trigger=invoices_gapless "}},
		},
		{
			name: "weaker",
			sql: `DROP TRIGGER invoices_immutable ON invoices;
CREATE TRIGGER invoices_immutable BEFORE DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change()`,
			want: map[string][]string{"triggers": {"invoices: trigger is not what the migrations made: trigger=invoices_immutable "}},
		},
		{
			name: "function that lets all pass",
			sql:  `CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=refuse_change() "}},
		},
		{
			name: "function that looks elsewhere",
			sql:  `ALTER FUNCTION refuse_gap() SET search_path = public`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=refuse_gap() "}},
		},
		{
			name: "function before which a caller's temporary tables come",
			sql:  `DO $$ BEGIN EXECUTE format('ALTER FUNCTION refuse_gap() SET search_path = %I', current_schema()); END $$`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=refuse_gap() "}},
		},
		{
			name: "duplicates recorded in another way",
			sql: `DO $$ BEGIN EXECUTE replace(pg_get_functiondef((SELECT oid FROM pg_proc WHERE proname = 'record_duplicates' AND pronamespace = current_schema()::regnamespace)),
	'FROM asked', 'FROM  asked'); END $$`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=record_duplicates("}},
		},
		{
			name: "duplicates recorded nowhere",
			sql:  `DO $$ BEGIN EXECUTE 'DROP FUNCTION ' || (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'record_duplicates' AND pronamespace = current_schema()::regnamespace); END $$`,
			want: map[string][]string{"triggers": {"-: function is missing: function=record_duplicates("}},
		},
		{
			name: "jobs accepted with the caller's rights",
			sql:  `ALTER FUNCTION accept(text, text, uuid, boolean) SECURITY INVOKER`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=accept("}},
		},
		{
			name: "jobs accepted into another queue",
			sql:  `DO $$ BEGIN EXECUTE replace(pg_get_functiondef('accept(text, text, uuid, boolean)'::regprocedure), 'DEFAULT ''default''', 'DEFAULT ''bulk'''); END $$`,
			want: map[string][]string{"triggers": {"-: function is not what the migrations made: function=accept("}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, c.sql)
			b.expect(t, c.want)
		})
	}

	t.Run("always on is on", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `ALTER TABLE invoices ENABLE ALWAYS TRIGGER invoices_immutable`)
		if report := b.audit(t); !report.OK() {
			t.Errorf("broken: %v", broken(report))
		}
	})
}

// TestLimit: what isn't listed is counted.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.unguarded(t, `UPDATE invoice_lines SET net_minor = net_minor + 1; UPDATE duplicate_attempts SET invoice_id = 2`)
	for _, limit := range []int{-1, 1, 2} {
		report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		for i := range report.Checks {
			check := &report.Checks[i]
			want := map[string]int64{"chain": 5, "lines": 7, "duplicates": 2, "ledger": 1}[check.Name]
			if check.Broken != want || len(check.Findings) != min(int(want), max(0, limit)) {
				t.Errorf("limit %d: %s: %d broken, %d shown, want %d", limit, check.Name, check.Broken, len(check.Findings), want)
			}
		}
	}
}

// separate has the unique constraints that know issuers put into the place of those that don't.
func (b *bundle) separate(t *testing.T) {
	t.Helper()
	migrator, err := migrations.New(b.URL, b.Schema)
	if err == nil {
		err = migrator.SeparateIssuers(t.Context(), func(string) {})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Either set of unique constraints is right, and no mixture.
func TestSeparatedConstraints(t *testing.T) {
	t.Parallel()
	swapped := map[string][2]string{
		"invoices.invoices_transaction_id_key":       {"UNIQUE (transaction_id)", "UNIQUE (transaction_id, issuer)"},
		"invoices.invoices_idempotency_key_key":      {"UNIQUE (idempotency_key)", "UNIQUE (idempotency_key, issuer)"},
		"invoices.invoices_series_period_number_key": {"UNIQUE (series, period, number)", "UNIQUE (series, period, issuer, number)"},
		"invoices.invoices_invoice_number_key":       {"UNIQUE (invoice_number)", "UNIQUE (invoice_number, issuer)"},
		"invoice_series.invoice_series_pkey":         {"PRIMARY KEY (series, period)", "PRIMARY KEY (issuer, series, period)"},
		"series.series_pkey":                         {"PRIMARY KEY (series, version)", "PRIMARY KEY (issuer, series, version)"},
	}
	for is, separated := range []bool{false, true} {
		t.Run(fmt.Sprint("separated ", separated), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if separated {
				b.separate(t)
			}
			if report := b.audit(t); !report.OK() {
				t.Errorf("broken: %v", broken(report))
			}
			for name, definitions := range swapped {
				table, constraint, _ := strings.Cut(name, ".")
				swap := func(to string) {
					b.exec(t, "ALTER TABLE "+table+" DROP CONSTRAINT IF EXISTS "+constraint)
					if to != "" {
						b.exec(t, "ALTER TABLE "+table+" ADD CONSTRAINT "+constraint+" "+to)
					}
				}
				expected, other := definitions[is], definitions[1-is]
				swap(other)
				b.expect(t, map[string][]string{"constraints": {
					table + ": constraint is not what the migrations made: constraint=" + constraint + " definition=" + other + " expected=" + expected,
				}})
				swap("")
				b.expect(t, map[string][]string{"constraints": {
					table + ": constraint is missing: constraint=" + constraint + " definition=<nil> expected=" + expected,
				}})
				swap(expected)
			}
			if report := b.audit(t); !report.OK() {
				t.Errorf("broken though all is as it was: %v", broken(report))
			}
		})
	}
}
