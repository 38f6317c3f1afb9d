#!/bin/sh
# Asks for the invoice of a transaction with curl, and prints its number.
#
#   INVOICER_URL=http://127.0.0.1:8080 INVOICER_TOKEN=… sh invoice.sh [TRANSACTION_ID]
#
# It asks again through broken connections and restarts, with the same Idempotency-Key, for a minute. Running it again is
# safe, too: there is one invoice.
set -eu

transaction=${1:-536365}
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

end=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$end" ]; do
	told=$(curl -sS -o "$answer" -w '%{http_code} %header{retry-after}' --max-time 45 \
		"${INVOICER_URL:-http://127.0.0.1:8080}/v1/jobs" \
		${INVOICER_TOKEN:+-H "Authorization: Bearer $INVOICER_TOKEN"} \
		-H 'Content-Type: application/json' \
		-H "Idempotency-Key: \"$key\"" \
		-H 'Prefer: wait=30' \
		-d '{
			"transaction_id": "'"$transaction"'",
			"issued_at": "2010-12-01T08:26:00Z",
			"currency": "GBP",
			"lines": [{"sku": "85123A", "quantity": 6, "unit_price": "2.55"}]
		}') || told='000 '
	after=${told#* }
	case ${told%% *} in
	200 | 201) # a duplicate of the invoice, or the one that has made it
		sed -n 's/.*"invoice_number":"\([^"]*\)".*/\1/p' "$answer"
		exit
		;;
	202) # accepted; a job that has failed has a state, and is looked at by a person
		if grep -q '"state"' "$answer"; then
			cat "$answer" >&2
			exit 1
		fi
		;;
	000 | 409 | 429 | 502 | 503 | 504) ;; # nothing is known, or the same may be sent again
	*)                                    # it is refused: the answer says why, field by field
		cat "$answer" >&2
		exit 1
		;;
	esac
	case $after in '' | *[!0-9]*) after=1 ;; esac
	sleep "$after"
done
echo "no invoice yet; asking again is safe" >&2
exit 1
