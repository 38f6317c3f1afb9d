package audit_test

import "testing"

// A hand-over isn't what its history says, or there is none.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	const channel = `INSERT INTO handover_channels (name, kind, await_clearance, after_invoice) VALUES ('peppol', 'https', false, 0);
INSERT INTO handovers (invoice_id, channel) SELECT id, 'peppol' FROM invoices;
INSERT INTO handover_log (handover_id, state, key, attempts) SELECT id, state, key, 0 FROM handovers;`
	found := func(what string) map[string][]string {
		return map[string][]string{"handovers": {"handovers: " + what + ": id=1 invoice_number=INV-000001 channel=peppol state="}}
	}
	testPlantedIn(t, setup, []planted{
		{name: "another state", sql: channel + "UPDATE handovers SET state = 'rejected', answered_at = now() WHERE id = 1", want: found("it is not what its history says")},
		{name: "another id", sql: channel + "UPDATE handovers SET their_id = 'x' WHERE id = 1", want: found("it is not what its history says")},
		{name: "another key", sql: channel + "UPDATE handovers SET key = gen_random_uuid() WHERE id = 1", want: found("it is not what its history says")},
		{name: "no history", sql: channel + "DELETE FROM handover_log WHERE handover_id = 1", want: found("it has no history")},
		{name: "erased by itself", sql: channel + "UPDATE handovers SET erased_at = now() WHERE id = 1", want: found("it was erased, and its invoice was not")},
		{
			name: "one that is missing", sql: channel + "DELETE FROM handover_log WHERE handover_id = 1; DELETE FROM handovers WHERE id = 1",
			want: map[string][]string{"handovers": {"invoices: it was owed to the channel, and has no hand-over: id=1 invoice_number=INV-000001 channel=peppol"}},
		},
		{
			name: "one of a channel that has ended, beside those that came too late for it",
			sql: `INSERT INTO handover_channels (name, kind, await_clearance, after_invoice, until, last_invoice, late)
SELECT 'peppol', 'https', false, 0, now(), max(id), array_agg(id) FILTER (WHERE id <> 1) FROM invoices`,
			want: map[string][]string{"handovers": {"invoices: it was owed to the channel, and has no hand-over: id=1 invoice_number=INV-000001 channel=peppol"}},
		},
	})
	testPlantedIn(t, erased, []planted{
		{
			name: "words about an erased invoice", sql: channel + "UPDATE handovers SET state = 'sent', answered_at = now(), answer = CASE id WHEN 1 THEN 'a name' END, erased_at = now(); INSERT INTO handover_log (handover_id, state, key, attempts) SELECT id, state, key, 0 FROM handovers",
			want: found("its invoice was erased, and it was not"),
		},
		{
			name: "words in the history of an erased invoice", sql: channel + "UPDATE handovers SET state = 'cancelled', erased_at = now(); UPDATE handover_log SET answer = 'a name' WHERE handover_id = 1; INSERT INTO handover_log (handover_id, state, key, attempts) SELECT id, state, key, 0 FROM handovers",
			want: found("its invoice was erased, and it was not"),
		},
	})
}

// What the database holds hand-overs to is named when it is gone.
func TestGuardsOfHandovers(t *testing.T) {
	t.Parallel()
	broken := func(check, begins string) map[string][]string { return map[string][]string{check: {begins}} }
	testPlanted(t, []planted{
		{
			name: "a constraint", sql: "ALTER TABLE handovers DROP CONSTRAINT handovers_cleared_check",
			want: broken("constraints", "handovers: constraint is missing: constraint=handovers_cleared_check "),
		},
		{
			name: "a unique index", sql: "DROP INDEX handover_channels_name_key",
			want: broken("constraints", "handover_channels: constraint is missing: constraint=handover_channels_name_key "),
		},
		{
			name: "NULL let in", sql: "ALTER TABLE handover_log ALTER key DROP NOT NULL",
			want: broken("constraints", "handover_log: column is not what the migrations made: column=key definition=uuid expected=uuid NOT NULL"),
		},
		{
			name: "the trigger of the steps", sql: "DROP TRIGGER handovers_steps ON handovers",
			want: broken("triggers", "handovers: trigger is missing: trigger=handovers_steps "),
		},
		{
			name: "the trigger of the history", sql: "DROP TRIGGER handover_log_append_only ON handover_log",
			want: broken("triggers", "handover_log: trigger is missing: trigger=handover_log_append_only "),
		},
	})
}
