-- +goose Up

LOCK TABLE invoice_jobs IN SHARE ROW EXCLUSIVE MODE;

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Whether the check digits of a text that looks like a SEPA creditor identifier are right: by ISO 7064 MOD 97-10, over its letters and digits,
-- without its business code.
-- +goose StatementBegin
CREATE FUNCTION accept_creditor(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    rest integer := 0;
    c    text;
BEGIN
    FOREACH c IN ARRAY regexp_split_to_array(substr(value, 8) || left(value, 4), '') LOOP
        rest := CASE
            WHEN c ~ '[0-9]' THEN (rest * 10 + c::integer) % 97
            WHEN c ~ '[A-Z]' THEN (rest * 100 + ascii(c) - 55) % 97
            ELSE rest END;
    END LOOP;
    RETURN rest = 1;
END $$;
-- +goose StatementEnd

-- As before, and with payment.creditor_id.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION job_fields() RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $function$ SELECT $json$
{
    "versions": {
        "1": {"decimals":6,"digits":12,"lines":5000,"payload":1048576}, "2": {"decimals":12,"digits":15,"lines":20000,"payload":2097152}
    },
    "required": {
        "Classification": ["scheme","code"], "ElectronicAddress": ["scheme","id"], "Job": ["transaction_id","issued_at","currency"], "Line": ["quantity","unit_price"],
        "Note": ["text"], "Preceding": ["invoice_number"], "TaxAmount": ["percent","amount"], "TaxRate": ["percent"], "Withholding": ["percent"]
    },
    "formats": {
        "account": {"pattern":"^[A-Za-z0-9 ./:-]{1,40}$","message":"must be 1 to 40 letters, digits, blanks and . / : -"},
        "category": {"pattern":"^(AE|[BEGKLMOSZ])$","message":"must be a code of UNTDID 5305: S, Z, E, AE, K, G, O, L, M or B"},
        "code": {"pattern":"^[A-Za-z0-9._:/+-]{1,40}$","message":"must be 1 to 40 characters of A-Z a-z 0-9 . _ : / + -"},
        "country": {"pattern":"^[A-Z]{2}$","message":"must be an ISO 3166-1 code of two capital letters, such as GB"},
        "creditor": {"pattern":"^[A-Z]{2}(0[2-9]|[1-8][0-9]|9[0-8])[A-Z0-9+?/:().,'-]{4,31}$","message":"must be a SEPA creditor identifier with its check digits, in capitals and without blanks, such as DE98ZZZ09999999999"},
        "currency": {"pattern":"^[A-Z]{3}$","message":"must be an ISO 4217 code with a minor unit, such as GBP"},
        "date": {"pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}$","message":"must be a date such as 2010-12-31"},
        "language": {"pattern":"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$","message":"must be a language tag such as de or pt-BR"},
        "producer": {"pattern":"^[A-Za-z0-9._:/@+=-]{1,64}$","message":"must be 1 to 64 characters of A-Z a-z 0-9 . _ : / @ + = -"},
        "series": {"pattern":"^[A-Z0-9-]{1,32}$","message":"must be 1 to 32 characters of A-Z 0-9 -"},
        "type_code": {"pattern":"^[1-9][0-9]{0,2}$","message":"must be a code of UNTDID 1001, such as 384"}
    },
    "currencies": {
        "ADP":0, "AED":2, "AFA":2, "AFN":2, "ALK":2, "ALL":2, "AMD":2, "ANG":2, "AOA":2, "AOK":2, "AON":2, "AOR":2, "ARA":2, "ARP":2, "ARS":2, "ARY":2, "ATS":2, "AUD":2,
        "AWG":2, "AYM":2, "AZM":2, "AZN":2, "BAD":2, "BAM":2, "BBD":2, "BDT":2, "BEC":0, "BEF":0, "BEL":0, "BGJ":2, "BGK":2, "BGL":2, "BGN":2, "BHD":3, "BIF":0, "BMD":2,
        "BND":2, "BOB":2, "BOP":2, "BOV":2, "BRB":2, "BRC":2, "BRE":2, "BRL":2, "BRN":2, "BRR":2, "BSD":2, "BTN":2, "BUK":2, "BWP":2, "BYB":0, "BYN":2, "BYR":0, "BZD":2,
        "CAD":2, "CDF":2, "CHC":2, "CHE":2, "CHF":2, "CHW":2, "CLF":4, "CLP":0, "CNY":2, "COP":2, "COU":2, "CRC":2, "CSD":2, "CSJ":2, "CSK":2, "CUC":2, "CUP":2, "CVE":2,
        "CYP":2, "CZK":2, "DDM":2, "DEM":2, "DJF":0, "DKK":2, "DOP":2, "DZD":2, "ECS":2, "ECV":2, "EEK":2, "EGP":2, "ERN":2, "ESA":0, "ESB":0, "ESP":0, "ETB":2, "EUR":2,
        "FIM":2, "FJD":2, "FKP":2, "FRF":2, "GBP":2, "GEK":2, "GEL":2, "GHC":2, "GHP":2, "GHS":2, "GIP":2, "GMD":2, "GNE":2, "GNF":0, "GNS":2, "GQE":2, "GRD":0, "GTQ":2,
        "GWE":2, "GWP":2, "GYD":2, "HKD":2, "HNL":2, "HRD":2, "HRK":2, "HTG":2, "HUF":2, "IDR":2, "IEP":2, "ILP":2, "ILR":2, "ILS":2, "INR":2, "IQD":3, "IRR":2, "ISJ":2,
        "ISK":0, "ITL":0, "JMD":2, "JOD":3, "JPY":0, "KES":2, "KGS":2, "KHR":2, "KMF":0, "KPW":2, "KRW":0, "KWD":3, "KYD":2, "KZT":2, "LAJ":2, "LAK":2, "LBP":2, "LKR":2,
        "LRD":2, "LSL":2, "LSM":2, "LTL":2, "LTT":2, "LUC":0, "LUF":0, "LUL":0, "LVL":2, "LVR":2, "LYD":3, "MAD":2, "MDL":2, "MGA":2, "MGF":0, "MKD":2, "MLF":2, "MMK":2,
        "MNT":2, "MOP":2, "MRO":2, "MRU":2, "MTL":2, "MTP":2, "MUR":2, "MVQ":2, "MVR":2, "MWK":2, "MXN":2, "MXP":2, "MXV":2, "MYR":2, "MZE":2, "MZM":2, "MZN":2, "NAD":2,
        "NGN":2, "NIC":2, "NIO":2, "NLG":2, "NOK":2, "NPR":2, "NZD":2, "OMR":3, "PAB":2, "PEH":2, "PEI":2, "PEN":2, "PES":2, "PGK":2, "PHP":2, "PKR":2, "PLN":2, "PLZ":2,
        "PTE":0, "PYG":0, "QAR":2, "RHD":2, "ROK":2, "ROL":2, "RON":2, "RSD":2, "RUB":2, "RUR":2, "RWF":0, "SAR":2, "SBD":2, "SCR":2, "SDD":2, "SDG":2, "SDP":2, "SEK":2,
        "SGD":2, "SHP":2, "SIT":2, "SKK":2, "SLE":2, "SLL":2, "SOS":2, "SRD":2, "SRG":2, "SSP":2, "STD":2, "STN":2, "SUR":2, "SVC":2, "SYP":2, "SZL":2, "THB":2, "TJR":2,
        "TJS":2, "TMM":2, "TMT":2, "TND":3, "TOP":2, "TPE":0, "TRL":0, "TRY":2, "TTD":2, "TWD":2, "TZS":2, "UAH":2, "UAK":2, "UGS":2, "UGW":2, "UGX":0, "USD":2, "USN":2,
        "USS":2, "UYI":0, "UYN":2, "UYP":2, "UYU":2, "UYW":4, "UZS":2, "VEB":2, "VED":2, "VEF":2, "VES":2, "VNC":2, "VND":0, "VUV":0, "WST":2, "XAD":2, "XAF":0, "XCD":2,
        "XCG":2, "XEU":2, "XOF":0, "XPF":0, "YDD":2, "YER":2, "YUD":2, "YUM":2, "YUN":2, "ZAL":2, "ZAR":2, "ZMK":2, "ZMW":2, "ZRN":2, "ZRZ":2, "ZWC":2, "ZWD":2, "ZWG":2,
        "ZWL":2, "ZWN":2, "ZWR":2
    },
    "fields": {
        "Job": {
            "credits_transaction_id": {"n":0,"is":"identifier","most":128,"filled":true,"integer":true}, "customer_id": {"n":1,"is":"text"},
            "customer_name": {"n":2,"is":"text"}, "country": {"n":3,"is":"text"}, "version": {"n":4,"is":"version"},
            "transaction_id": {"n":5,"is":"identifier","most":128,"required":true,"filled":true,"integer":true},
            "idempotency_key": {"n":6,"is":"identifier","most":255,"filled":true,"integer":true}, "producer": {"n":7,"is":"text","like":"producer","filled":true},
            "issuer": {"n":8,"is":"text","like":"series"}, "series": {"n":9,"is":"text","like":"series","filled":true},
            "issued_at": {"n":10,"is":"instant","required":true}, "currency": {"n":11,"is":"currency","required":true,"filled":true},
            "lines": {"n":12,"is":"lines","of":"Line","most":20000}, "metadata": {"n":13,"is":"metadata"},
            "kind": {"n":14,"is":"text","one":["invoice","credit_note"],"version":2}, "type_code": {"n":15,"is":"text","like":"type_code","version":2},
            "prices": {"n":16,"is":"text","one":["net","gross"],"version":2}, "expected_total": {"n":17,"is":"number","version":2},
            "expected_payable": {"n":18,"is":"number","version":2}, "replaces_transaction_id": {"n":19,"is":"identifier","most":128,"version":2},
            "preceding": {"n":20,"is":"list","of":"Preceding","most":100,"version":2}, "allowances": {"n":21,"is":"list","of":"Adjustment","most":100,"version":2},
            "charges": {"n":22,"is":"list","of":"Adjustment","most":100,"version":2}, "withholdings": {"n":23,"is":"list","of":"Withholding","most":10,"version":2},
            "rounding": {"n":24,"is":"number","version":2}, "prepaid": {"n":25,"is":"number","version":2},
            "tax_currency": {"n":26,"is":"text","like":"currency","version":2}, "tax_currency_rate": {"n":27,"is":"number","version":2},
            "tax_currency_rate_date": {"n":28,"is":"text","like":"date","version":2}, "tax_currency_rate_source": {"n":29,"is":"text","most":200,"version":2},
            "tax_amounts": {"n":30,"is":"list","of":"TaxAmount","most":100,"version":2}, "tax_point_date": {"n":31,"is":"text","like":"date","version":2},
            "due_date": {"n":32,"is":"text","like":"date","version":2}, "period": {"n":33,"is":"object","of":"Period","version":2},
            "delivery": {"n":34,"is":"object","of":"Delivery","version":2}, "seller": {"n":35,"is":"object","of":"Party","version":2},
            "buyer": {"n":36,"is":"object","of":"Party","version":2}, "payee": {"n":37,"is":"object","of":"Party","version":2},
            "tax_representative": {"n":38,"is":"object","of":"Party","version":2}, "payment": {"n":39,"is":"object","of":"Payment","version":2},
            "buyer_reference": {"n":40,"is":"text","most":200,"version":2}, "order_reference": {"n":41,"is":"text","most":200,"version":2},
            "contract_reference": {"n":42,"is":"text","most":200,"version":2}, "project_reference": {"n":43,"is":"text","most":200,"version":2},
            "tender_reference": {"n":44,"is":"text","most":200,"version":2}, "despatch_reference": {"n":45,"is":"text","most":200,"version":2},
            "receipt_reference": {"n":46,"is":"text","most":200,"version":2}, "object_reference": {"n":47,"is":"text","most":200,"version":2},
            "accounting_reference": {"n":48,"is":"text","most":200,"version":2}, "notes": {"n":49,"is":"list","of":"Note","most":20,"version":2},
            "language": {"n":50,"is":"text","like":"language","version":2}
        },
        "Line": {
            "sku": {"n":0,"is":"text"}, "description": {"n":1,"is":"text"}, "quantity": {"n":2,"is":"number","required":true,"narrow":true},
            "unit_price": {"n":3,"is":"number","required":true,"narrow":true}, "discount_percent": {"n":4,"is":"number","percent":true,"narrow":true},
            "tax_percent": {"n":5,"is":"number","percent":true,"narrow":true}, "name": {"n":6,"is":"text","most":4000,"version":2},
            "unit": {"n":7,"is":"text","like":"code","version":2}, "base_quantity": {"n":8,"is":"number","version":2},
            "discount_amount": {"n":9,"is":"number","version":2}, "charge_amount": {"n":10,"is":"number","version":2},
            "discount_reason": {"n":11,"is":"text","most":4000,"version":2}, "charge_reason": {"n":12,"is":"text","most":4000,"version":2},
            "prices": {"n":13,"is":"text","one":["net","gross"],"version":2}, "taxes": {"n":14,"is":"list","of":"TaxRate","most":8,"version":2},
            "tax_category": {"n":15,"is":"text","like":"category","version":2}, "exemption_reason": {"n":16,"is":"text","most":4000,"version":2},
            "exemption_code": {"n":17,"is":"text","like":"code","version":2}, "period": {"n":18,"is":"object","of":"Period","version":2},
            "item_ids": {"n":19,"is":"object","of":"ItemIDs","version":2}, "classifications": {"n":20,"is":"list","of":"Classification","most":20,"version":2},
            "origin_country": {"n":21,"is":"text","like":"country","version":2}, "note": {"n":22,"is":"text","most":4000,"version":2},
            "order_line": {"n":23,"is":"text","most":200,"version":2}, "accounting_reference": {"n":24,"is":"text","most":200,"version":2}
        },
        "Address": {
            "line1": {"n":0,"is":"text","most":500}, "line2": {"n":1,"is":"text","most":500}, "line3": {"n":2,"is":"text","most":500},
            "city": {"n":3,"is":"text","most":200}, "postcode": {"n":4,"is":"text","most":50}, "region": {"n":5,"is":"text","most":200},
            "country_code": {"n":6,"is":"text","like":"country"}
        },
        "Adjustment": {
            "reason": {"n":0,"is":"text","most":4000}, "reason_code": {"n":1,"is":"text","like":"code"}, "amount": {"n":2,"is":"number"},
            "percent": {"n":3,"is":"number","percent":true}, "tax_percent": {"n":4,"is":"number","percent":true}, "prices": {"n":5,"is":"text","one":["net","gross"]},
            "taxes": {"n":6,"is":"list","of":"TaxRate","most":8}, "tax_category": {"n":7,"is":"text","like":"category"},
            "exemption_reason": {"n":8,"is":"text","most":4000}, "exemption_code": {"n":9,"is":"text","like":"code"}
        },
        "Classification": {
            "scheme": {"n":0,"is":"text","like":"code","required":true}, "code": {"n":1,"is":"text","most":100,"required":true}
        },
        "Contact": {
            "name": {"n":0,"is":"text","most":500}, "phone": {"n":1,"is":"text","most":100}, "email": {"n":2,"is":"text","most":320}
        },
        "Delivery": {
            "name": {"n":0,"is":"text","most":500}, "date": {"n":1,"is":"text","like":"date"}, "address": {"n":2,"is":"object","of":"Address"}
        },
        "ElectronicAddress": {
            "scheme": {"n":0,"is":"text","like":"code","required":true}, "id": {"n":1,"is":"text","most":320,"required":true}
        },
        "ItemIDs": {
            "seller": {"n":0,"is":"text","most":200}, "buyer": {"n":1,"is":"text","most":200}, "standard": {"n":2,"is":"text","most":200},
            "standard_scheme": {"n":3,"is":"text","like":"code"}
        },
        "Note": {
            "code": {"n":0,"is":"text","like":"code"}, "text": {"n":1,"is":"text","most":4000,"required":true}
        },
        "Party": {
            "name": {"n":0,"is":"text","most":500}, "trading_name": {"n":1,"is":"text","most":500}, "legal_id": {"n":2,"is":"text","most":100},
            "vat_id": {"n":3,"is":"text","most":100}, "tax_id": {"n":4,"is":"text","most":100}, "email": {"n":5,"is":"text","most":320},
            "electronic_address": {"n":6,"is":"object","of":"ElectronicAddress"}, "contact": {"n":7,"is":"object","of":"Contact"},
            "address": {"n":8,"is":"object","of":"Address"}
        },
        "Payment": {
            "terms": {"n":0,"is":"text","most":4000}, "means_code": {"n":1,"is":"text","like":"code"}, "iban": {"n":2,"is":"text","like":"account"},
            "bic": {"n":3,"is":"text","like":"account"}, "account_name": {"n":4,"is":"text","most":500}, "reference": {"n":5,"is":"text","most":200},
            "mandate": {"n":6,"is":"text","most":200}, "creditor_id": {"n":7,"is":"text","like":"creditor"}
        },
        "Period": {
            "start": {"n":0,"is":"text","like":"date"}, "end": {"n":1,"is":"text","like":"date"}
        },
        "Preceding": {
            "invoice_number": {"n":0,"is":"text","most":200,"required":true}, "date": {"n":1,"is":"text","like":"date"}
        },
        "TaxAmount": {
            "code": {"n":0,"is":"text","like":"code"}, "category": {"n":1,"is":"text","like":"category"},
            "percent": {"n":2,"is":"number","required":true,"percent":true}, "amount": {"n":3,"is":"number","required":true}
        },
        "TaxRate": {
            "code": {"n":0,"is":"text","like":"code"}, "category": {"n":1,"is":"text","like":"category"},
            "percent": {"n":2,"is":"number","required":true,"percent":true}, "compound": {"n":3,"is":"truth"}
        },
        "Withholding": {
            "code": {"n":0,"is":"text","like":"code"}, "percent": {"n":1,"is":"number","required":true,"percent":true}, "base": {"n":2,"is":"number"}
        }
    }
}
$json$::jsonb $function$;
-- +goose StatementEnd

-- As before, and with the check digits of a creditor identifier.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION job_problems(payload text, marked boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    known    CONSTANT jsonb := job_fields();
    bad_text CONSTANT text := 'must be valid UTF-8 without U+0000 and without lone surrogates';
    newly    CONSTANT text := 'is spelled in a way that workers of the release before refuse: send it otherwise or state "version": 2, until they are upgraded';
    stated   text;
    version  integer := 1;
    unlike   text; -- what is wrong with the version
    limits   jsonb;
    problems text[];
BEGIN
    SELECT m.value::text INTO stated FROM json_each(payload::json) WITH ORDINALITY AS m (key, value, n) WHERE m.key = 'version' ORDER BY m.n LIMIT 1;
    IF stated ~ '^[1-9][0-9]{0,8}$' THEN
        version := stated::integer;
    ELSIF stated <> 'null' THEN
        unlike := CASE WHEN stated ~ '^[-0-9]' THEN accept_number(stated, 12, 6, false) ELSE 'must be the number of a known version, such as 1' END;
        IF unlike IS NULL AND (length(stated) > 40 OR stated ~ '^-?[0.]+($|[eE])' OR stated::numeric NOT BETWEEN 1 AND 2147483647 OR stated::numeric % 1 <> 0) THEN
            unlike := 'must be the number of a known version, such as 1';
        ELSIF unlike IS NULL THEN
            version := stated::numeric;
        END IF;
    END IF;
    limits := known #> ARRAY['versions', least(version, 2)::text];

    WITH RECURSIVE member (place, path, object, key, turn, field, type, text, value) AS (
        SELECT ARRAY[m.n], CASE WHEN f.field IS NULL THEN accept_name(m.key) ELSE m.key END, 'Job', m.key, m.turn, f.field, m.type,
            CASE WHEN m.type IN ('string', 'number') THEN m.value #>> '{}' END, CASE WHEN m.type IN ('object', 'array') THEN m.value END
        FROM (SELECT j.n, j.key, j.value, json_typeof(j.value) AS type, row_number() OVER (PARTITION BY j.key ORDER BY j.n) AS turn
            FROM json_each(payload::json) WITH ORDINALITY AS j (key, value, n)) AS m,
            LATERAL (SELECT known #> ARRAY['fields', 'Job', m.key]) AS f (field)
        WHERE version <= 2 OR m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer') -- of a newer version, a newer worker knows the rest
        UNION ALL
        SELECT a.place || m.n, CASE WHEN m.key IS NULL THEN a.path || '[' || m.n - 1 || ']' ELSE a.path || '.' || CASE WHEN f.field IS NULL OR f.field ->> 'is' = 'entry' THEN accept_name(m.key) ELSE m.key END END,
            a.field ->> 'of', m.key, m.turn, f.field, m.type,
            CASE WHEN m.type IN ('string', 'number') THEN m.value #>> '{}' END, CASE WHEN m.type IN ('object', 'array') THEN m.value END
        FROM member AS a,
            LATERAL (
                SELECT j.n, j.key, j.value, json_typeof(j.value) AS type, row_number() OVER (PARTITION BY j.key ORDER BY j.n) AS turn
                FROM json_each(CASE a.type WHEN 'object' THEN a.value END) WITH ORDINALITY AS j (key, value, n)
                UNION ALL
                SELECT j.n, NULL, j.value, json_typeof(j.value), 1
                FROM json_array_elements(CASE a.type WHEN 'array' THEN a.value END) WITH ORDINALITY AS j (value, n) WHERE j.n <= (a.field ->> 'most')::integer
            ) AS m,
            LATERAL (SELECT CASE
                WHEN m.key IS NULL THEN jsonb_build_object('is', 'element', 'of', a.field ->> 'of')
                WHEN a.field ->> 'is' = 'metadata' THEN '{"is":"entry"}'
                ELSE known #> ARRAY['fields', a.field ->> 'of', m.key] END) AS f (field)
        WHERE a.value IS NOT NULL AND a.turn = 1
            AND CASE a.type WHEN 'object' THEN a.field ->> 'is' IN ('object', 'element', 'metadata') ELSE a.field ->> 'is' IN ('list', 'lines') END
    ), found AS (
        SELECT * FROM (SELECT m.place, 0 AS rank, m.path, m.object, m.key, CASE
            WHEN m.field IS NULL THEN 'is no field of ' || CASE WHEN m.object IN ('Job', 'Line') THEN 'a job' ELSE 'this object' END
            WHEN m.turn > 1 THEN 'must not be given twice'
            ELSE CASE m.field ->> 'is'
                WHEN 'element' THEN CASE WHEN m.type <> 'object' THEN 'must be an object' END
                WHEN 'entry' THEN CASE
                    WHEN marked AND m.key ~ '[\uFDD0\uFDD1]' THEN bad_text
                    WHEN m.type <> 'string' THEN 'must be a string'
                    WHEN marked AND m.text ~ '[\uFDD0\uFDD1]' THEN bad_text END
                WHEN 'version' THEN unlike
                ELSE CASE WHEN m.type <> 'null' THEN CASE m.field ->> 'is'
                    WHEN 'number' THEN CASE
                        WHEN m.type NOT IN ('number', 'string') THEN 'must be a decimal number such as 2.50'
                        WHEN length(m.text) <= 7 AND m.text ~ '^[0-9]{1,2}(\.[0-9]+)?$' AND m.text !~ '^0[0-9]' THEN NULL -- as most are, a percentage or not
                        ELSE accept_number(m.text, CASE WHEN m.field ? 'narrow' THEN (limits ->> 'digits')::integer ELSE 15 END,
                            CASE WHEN m.field ? 'narrow' THEN (limits ->> 'decimals')::integer ELSE 12 END, m.field ? 'percent') END
                    WHEN 'text' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND (m.text ~ '\uFDD1' OR m.text ~ '\uFDD0' AND coalesce(m.field ->> 'like', '') NOT IN ('producer', 'series')) THEN bad_text
                        WHEN m.text = '' THEN CASE WHEN m.field ? 'filled' THEN 'must not be empty' END
                        WHEN m.field ? 'like' THEN CASE
                            WHEN m.text !~ (known #>> ARRAY['formats', m.field ->> 'like', 'pattern'])
                                OR m.field ->> 'like' = 'date' AND (left(m.text, 4) = '0000' OR NOT accept_day(m.text))
                                OR m.field ->> 'like' = 'creditor' AND NOT accept_creditor(m.text)
                            THEN known #>> ARRAY['formats', m.field ->> 'like', 'message'] END
                        WHEN m.field ? 'one' THEN CASE WHEN NOT (m.field -> 'one') ? m.text
                            THEN 'must be ' || (SELECT string_agg(one, ' or ' ORDER BY n) FROM jsonb_array_elements_text(m.field -> 'one') WITH ORDINALITY AS o (one, n)) END
                        WHEN length(m.text) > (m.field ->> 'most')::integer THEN format('must not have more than %s characters', m.field ->> 'most') END
                    WHEN 'identifier' THEN CASE
                        WHEN m.type <> 'string' AND NOT (m.type = 'number' AND m.field ? 'integer') THEN 'must be a string'
                        WHEN m.type = 'number' AND m.text ~ '[^0-9]' THEN 'must be a string, or an integer in digits alone'
                        WHEN marked AND (m.text ~ '\uFDD1' OR m.text ~ '\uFDD0' AND NOT m.field ? 'integer') THEN bad_text
                        WHEN m.text = '' THEN CASE WHEN m.field ? 'filled' THEN 'must not be empty' END
                        WHEN m.type = 'string' AND m.text !~ '[^A-Za-z0-9._:/@+=-]' AND length(m.text) <= (m.field ->> 'most')::integer THEN NULL
                        ELSE coalesce(accept_identifier(m.text, (m.field ->> 'most')::integer), CASE WHEN version = 1 THEN newly END) END
                    WHEN 'object' THEN CASE WHEN m.type <> 'object' THEN 'must be an object' END
                    WHEN 'list' THEN CASE
                        WHEN m.type <> 'array' THEN 'must be a list'
                        WHEN json_array_length(m.value) > (m.field ->> 'most')::integer THEN format('must not hold more than %s elements', m.field ->> 'most') END
                    WHEN 'lines' THEN CASE WHEN CASE m.type WHEN 'array' THEN json_array_length(m.value) ELSE 0 END NOT BETWEEN 1 AND (limits ->> 'lines')::integer
                        THEN 'must hold 1 to ' || to_char((limits ->> 'lines')::integer, 'FM99,999') || ' lines' END
                    WHEN 'instant' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND m.text ~ '\uFDD1' THEN bad_text
                        ELSE coalesce(accept_instant(m.text), CASE WHEN version = 1 AND m.text ~ '\.[0-9]{6}[0-9]*[1-9]' THEN newly END) END
                    WHEN 'currency' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND m.text ~ '\uFDD1' THEN bad_text
                        WHEN m.text = '' THEN 'must not be empty'
                        WHEN m.text !~ '^[A-Za-z]{1,3}$' THEN 'must be an ISO 4217 code with a minor unit, such as GBP'
                        WHEN NOT (known -> 'currencies') ? upper(m.text) THEN 'must be an ISO 4217 code with a minor unit, such as GBP, and not ' || upper(m.text)
                        WHEN m.text ~ '[a-z]' AND version = 1 THEN newly END
                    WHEN 'truth' THEN CASE WHEN m.type <> 'boolean' THEN 'must be true or false' END
                    WHEN 'metadata' THEN CASE WHEN m.type <> 'object' THEN 'must be an object that holds nothing but strings' END
                END END
            END
        END AS problem
        FROM member AS m OFFSET 0) AS judged WHERE problem IS NOT NULL -- judged once for each member
        UNION ALL
        SELECT m.place, 1, m.path, m.object, m.key, 'is a field of version 2: state "version": 2'
        FROM member AS m WHERE version = 1 AND m.type <> 'null' AND m.field ? 'version'
        UNION ALL
        SELECT m.place || 2147483647 + r.n, 0, m.path || '.' || r.name, m.object, r.name, 'is required'
        FROM member AS m, jsonb_array_elements_text(known #> ARRAY['required', m.field ->> 'of']) WITH ORDINALITY AS r (name, n)
        WHERE m.type = 'object' AND m.turn = 1 AND m.field ->> 'is' IN ('object', 'element') AND coalesce(m.value ->> r.name, '') = ''
        UNION ALL
        SELECT ARRAY[2147483647 + r.n], 0, r.name, 'Job', r.name, CASE r.name WHEN 'lines' THEN 'must hold 1 to ' || to_char((limits ->> 'lines')::integer, 'FM99,999') || ' lines' ELSE 'is required' END
        FROM unnest(CASE WHEN version <= 2 THEN ARRAY['transaction_id', 'issued_at', 'currency', 'lines'] ELSE ARRAY['transaction_id'] END) WITH ORDINALITY AS r (name, n)
        WHERE NOT EXISTS (SELECT FROM member AS m WHERE m.key = r.name AND m.type <> 'null' AND cardinality(m.place) = 1)
    ), first AS (
        SELECT DISTINCT ON (path) * FROM found
        WHERE (problem <> newly OR NOT EXISTS (SELECT FROM capabilities WHERE name = 'identifiers'))
        ORDER BY path, rank, place
    )
    SELECT array_agg(path || ' ' || problem || CASE WHEN n <= 20 AND problem LIKE 'is no field of %' THEN accept_hint(key, object) ELSE '' END ORDER BY n)
    INTO problems FROM (SELECT *, row_number() OVER (ORDER BY place, rank) AS n FROM first) AS ordered;
    RETURN coalesce(problems, '{}');
END $$;
-- +goose StatementEnd

-- A worker of the release before doesn't know the field, and would end a job that states it as invalid. A worker that knows the fields of this
-- migration says so; another one is told to leave such a job to others, as if somebody held a lock that it needs: the job waits, and uses up no
-- retries.
-- +goose StatementBegin
CREATE FUNCTION refuse_unknown_fields() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF coalesce(nullif(current_setting('invoicer.fields', true), ''), '0')::integer >= 52 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the job is left to workers of a newer release: it states payment.creditor_id'
        USING ERRCODE = 'lock_not_available', CONSTRAINT = 'invoice_jobs_known', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION accept_creditor(text), refuse_unknown_fields() FROM PUBLIC;
CREATE TRIGGER invoice_jobs_known AFTER INSERT ON invoice_jobs FOR EACH ROW
    WHEN (NEW.outcome = 'invalid' AND NEW.reason LIKE '%payment.creditor_id is no field of this object%') EXECUTE FUNCTION refuse_unknown_fields();
CREATE TRIGGER invoice_jobs_failure_known AFTER UPDATE ON invoice_jobs FOR EACH ROW
    WHEN (NEW.outcome = 'invalid' AND NEW.reason LIKE '%payment.creditor_id is no field of this object%' AND OLD.reason IS DISTINCT FROM NEW.reason)
    EXECUTE FUNCTION refuse_unknown_fields();

COMMENT ON FUNCTION accept_creditor(text) IS 'Whether the check digits of a text in the form of a SEPA creditor identifier are right.';
COMMENT ON FUNCTION refuse_unknown_fields() IS 'Trigger: a job that states a field which its worker doesn''t know is left to workers that do.';

-- +goose Down

LOCK TABLE invoices, invoice_jobs IN SHARE ROW EXCLUSIVE MODE; -- in the order in which a writer takes them
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM invoices WHERE parties #> '{payment,creditor_id}' IS NOT NULL) THEN
        RAISE EXCEPTION 'migrating down refused: invoices state payment.creditor_id, which the release before doesn''t know'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoices';
    ELSIF EXISTS (SELECT FROM invoice_jobs WHERE state IN ('accepted', 'enqueued') AND payload LIKE '%"creditor_id"%') THEN
        RAISE EXCEPTION 'migrating down refused: jobs wait that state payment.creditor_id, which the release before doesn''t know'
            USING ERRCODE = 'integrity_constraint_violation', TABLE = 'invoice_jobs';
    END IF;
END $$;
-- +goose StatementEnd
DROP TRIGGER invoice_jobs_known ON invoice_jobs;
DROP TRIGGER invoice_jobs_failure_known ON invoice_jobs;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION job_problems(payload text, marked boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    known    CONSTANT jsonb := job_fields();
    bad_text CONSTANT text := 'must be valid UTF-8 without U+0000 and without lone surrogates';
    newly    CONSTANT text := 'is spelled in a way that workers of the release before refuse: send it otherwise or state "version": 2, until they are upgraded';
    stated   text;
    version  integer := 1;
    unlike   text; -- what is wrong with the version
    limits   jsonb;
    problems text[];
BEGIN
    SELECT m.value::text INTO stated FROM json_each(payload::json) WITH ORDINALITY AS m (key, value, n) WHERE m.key = 'version' ORDER BY m.n LIMIT 1;
    IF stated ~ '^[1-9][0-9]{0,8}$' THEN
        version := stated::integer;
    ELSIF stated <> 'null' THEN
        unlike := CASE WHEN stated ~ '^[-0-9]' THEN accept_number(stated, 12, 6, false) ELSE 'must be the number of a known version, such as 1' END;
        IF unlike IS NULL AND (length(stated) > 40 OR stated ~ '^-?[0.]+($|[eE])' OR stated::numeric NOT BETWEEN 1 AND 2147483647 OR stated::numeric % 1 <> 0) THEN
            unlike := 'must be the number of a known version, such as 1';
        ELSIF unlike IS NULL THEN
            version := stated::numeric;
        END IF;
    END IF;
    limits := known #> ARRAY['versions', least(version, 2)::text];

    WITH RECURSIVE member (place, path, object, key, turn, field, type, text, value) AS (
        SELECT ARRAY[m.n], CASE WHEN f.field IS NULL THEN accept_name(m.key) ELSE m.key END, 'Job', m.key, m.turn, f.field, m.type,
            CASE WHEN m.type IN ('string', 'number') THEN m.value #>> '{}' END, CASE WHEN m.type IN ('object', 'array') THEN m.value END
        FROM (SELECT j.n, j.key, j.value, json_typeof(j.value) AS type, row_number() OVER (PARTITION BY j.key ORDER BY j.n) AS turn
            FROM json_each(payload::json) WITH ORDINALITY AS j (key, value, n)) AS m,
            LATERAL (SELECT known #> ARRAY['fields', 'Job', m.key]) AS f (field)
        WHERE version <= 2 OR m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer') -- of a newer version, a newer worker knows the rest
        UNION ALL
        SELECT a.place || m.n, CASE WHEN m.key IS NULL THEN a.path || '[' || m.n - 1 || ']' ELSE a.path || '.' || CASE WHEN f.field IS NULL OR f.field ->> 'is' = 'entry' THEN accept_name(m.key) ELSE m.key END END,
            a.field ->> 'of', m.key, m.turn, f.field, m.type,
            CASE WHEN m.type IN ('string', 'number') THEN m.value #>> '{}' END, CASE WHEN m.type IN ('object', 'array') THEN m.value END
        FROM member AS a,
            LATERAL (
                SELECT j.n, j.key, j.value, json_typeof(j.value) AS type, row_number() OVER (PARTITION BY j.key ORDER BY j.n) AS turn
                FROM json_each(CASE a.type WHEN 'object' THEN a.value END) WITH ORDINALITY AS j (key, value, n)
                UNION ALL
                SELECT j.n, NULL, j.value, json_typeof(j.value), 1
                FROM json_array_elements(CASE a.type WHEN 'array' THEN a.value END) WITH ORDINALITY AS j (value, n) WHERE j.n <= (a.field ->> 'most')::integer
            ) AS m,
            LATERAL (SELECT CASE
                WHEN m.key IS NULL THEN jsonb_build_object('is', 'element', 'of', a.field ->> 'of')
                WHEN a.field ->> 'is' = 'metadata' THEN '{"is":"entry"}'
                ELSE known #> ARRAY['fields', a.field ->> 'of', m.key] END) AS f (field)
        WHERE a.value IS NOT NULL AND a.turn = 1
            AND CASE a.type WHEN 'object' THEN a.field ->> 'is' IN ('object', 'element', 'metadata') ELSE a.field ->> 'is' IN ('list', 'lines') END
    ), found AS (
        SELECT * FROM (SELECT m.place, 0 AS rank, m.path, m.object, m.key, CASE
            WHEN m.field IS NULL THEN 'is no field of ' || CASE WHEN m.object IN ('Job', 'Line') THEN 'a job' ELSE 'this object' END
            WHEN m.turn > 1 THEN 'must not be given twice'
            ELSE CASE m.field ->> 'is'
                WHEN 'element' THEN CASE WHEN m.type <> 'object' THEN 'must be an object' END
                WHEN 'entry' THEN CASE
                    WHEN marked AND m.key ~ '[\uFDD0\uFDD1]' THEN bad_text
                    WHEN m.type <> 'string' THEN 'must be a string'
                    WHEN marked AND m.text ~ '[\uFDD0\uFDD1]' THEN bad_text END
                WHEN 'version' THEN unlike
                ELSE CASE WHEN m.type <> 'null' THEN CASE m.field ->> 'is'
                    WHEN 'number' THEN CASE
                        WHEN m.type NOT IN ('number', 'string') THEN 'must be a decimal number such as 2.50'
                        WHEN length(m.text) <= 7 AND m.text ~ '^[0-9]{1,2}(\.[0-9]+)?$' AND m.text !~ '^0[0-9]' THEN NULL -- as most are, a percentage or not
                        ELSE accept_number(m.text, CASE WHEN m.field ? 'narrow' THEN (limits ->> 'digits')::integer ELSE 15 END,
                            CASE WHEN m.field ? 'narrow' THEN (limits ->> 'decimals')::integer ELSE 12 END, m.field ? 'percent') END
                    WHEN 'text' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND (m.text ~ '\uFDD1' OR m.text ~ '\uFDD0' AND coalesce(m.field ->> 'like', '') NOT IN ('producer', 'series')) THEN bad_text
                        WHEN m.text = '' THEN CASE WHEN m.field ? 'filled' THEN 'must not be empty' END
                        WHEN m.field ? 'like' THEN CASE
                            WHEN m.text !~ (known #>> ARRAY['formats', m.field ->> 'like', 'pattern'])
                                OR m.field ->> 'like' = 'date' AND (left(m.text, 4) = '0000' OR NOT accept_day(m.text))
                            THEN known #>> ARRAY['formats', m.field ->> 'like', 'message'] END
                        WHEN m.field ? 'one' THEN CASE WHEN NOT (m.field -> 'one') ? m.text
                            THEN 'must be ' || (SELECT string_agg(one, ' or ' ORDER BY n) FROM jsonb_array_elements_text(m.field -> 'one') WITH ORDINALITY AS o (one, n)) END
                        WHEN length(m.text) > (m.field ->> 'most')::integer THEN format('must not have more than %s characters', m.field ->> 'most') END
                    WHEN 'identifier' THEN CASE
                        WHEN m.type <> 'string' AND NOT (m.type = 'number' AND m.field ? 'integer') THEN 'must be a string'
                        WHEN m.type = 'number' AND m.text ~ '[^0-9]' THEN 'must be a string, or an integer in digits alone'
                        WHEN marked AND (m.text ~ '\uFDD1' OR m.text ~ '\uFDD0' AND NOT m.field ? 'integer') THEN bad_text
                        WHEN m.text = '' THEN CASE WHEN m.field ? 'filled' THEN 'must not be empty' END
                        WHEN m.type = 'string' AND m.text !~ '[^A-Za-z0-9._:/@+=-]' AND length(m.text) <= (m.field ->> 'most')::integer THEN NULL
                        ELSE coalesce(accept_identifier(m.text, (m.field ->> 'most')::integer), CASE WHEN version = 1 THEN newly END) END
                    WHEN 'object' THEN CASE WHEN m.type <> 'object' THEN 'must be an object' END
                    WHEN 'list' THEN CASE
                        WHEN m.type <> 'array' THEN 'must be a list'
                        WHEN json_array_length(m.value) > (m.field ->> 'most')::integer THEN format('must not hold more than %s elements', m.field ->> 'most') END
                    WHEN 'lines' THEN CASE WHEN CASE m.type WHEN 'array' THEN json_array_length(m.value) ELSE 0 END NOT BETWEEN 1 AND (limits ->> 'lines')::integer
                        THEN 'must hold 1 to ' || to_char((limits ->> 'lines')::integer, 'FM99,999') || ' lines' END
                    WHEN 'instant' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND m.text ~ '\uFDD1' THEN bad_text
                        ELSE coalesce(accept_instant(m.text), CASE WHEN version = 1 AND m.text ~ '\.[0-9]{6}[0-9]*[1-9]' THEN newly END) END
                    WHEN 'currency' THEN CASE
                        WHEN m.type <> 'string' THEN 'must be a string'
                        WHEN marked AND m.text ~ '\uFDD1' THEN bad_text
                        WHEN m.text = '' THEN 'must not be empty'
                        WHEN m.text !~ '^[A-Za-z]{1,3}$' THEN 'must be an ISO 4217 code with a minor unit, such as GBP'
                        WHEN NOT (known -> 'currencies') ? upper(m.text) THEN 'must be an ISO 4217 code with a minor unit, such as GBP, and not ' || upper(m.text)
                        WHEN m.text ~ '[a-z]' AND version = 1 THEN newly END
                    WHEN 'truth' THEN CASE WHEN m.type <> 'boolean' THEN 'must be true or false' END
                    WHEN 'metadata' THEN CASE WHEN m.type <> 'object' THEN 'must be an object that holds nothing but strings' END
                END END
            END
        END AS problem
        FROM member AS m OFFSET 0) AS judged WHERE problem IS NOT NULL -- judged once for each member
        UNION ALL
        SELECT m.place, 1, m.path, m.object, m.key, 'is a field of version 2: state "version": 2'
        FROM member AS m WHERE version = 1 AND m.type <> 'null' AND m.field ? 'version'
        UNION ALL
        SELECT m.place || 2147483647 + r.n, 0, m.path || '.' || r.name, m.object, r.name, 'is required'
        FROM member AS m, jsonb_array_elements_text(known #> ARRAY['required', m.field ->> 'of']) WITH ORDINALITY AS r (name, n)
        WHERE m.type = 'object' AND m.turn = 1 AND m.field ->> 'is' IN ('object', 'element') AND coalesce(m.value ->> r.name, '') = ''
        UNION ALL
        SELECT ARRAY[2147483647 + r.n], 0, r.name, 'Job', r.name, CASE r.name WHEN 'lines' THEN 'must hold 1 to ' || to_char((limits ->> 'lines')::integer, 'FM99,999') || ' lines' ELSE 'is required' END
        FROM unnest(CASE WHEN version <= 2 THEN ARRAY['transaction_id', 'issued_at', 'currency', 'lines'] ELSE ARRAY['transaction_id'] END) WITH ORDINALITY AS r (name, n)
        WHERE NOT EXISTS (SELECT FROM member AS m WHERE m.key = r.name AND m.type <> 'null' AND cardinality(m.place) = 1)
    ), first AS (
        SELECT DISTINCT ON (path) * FROM found
        WHERE (problem <> newly OR NOT EXISTS (SELECT FROM capabilities WHERE name = 'identifiers'))
        ORDER BY path, rank, place
    )
    SELECT array_agg(path || ' ' || problem || CASE WHEN n <= 20 AND problem LIKE 'is no field of %' THEN accept_hint(key, object) ELSE '' END ORDER BY n)
    INTO problems FROM (SELECT *, row_number() OVER (ORDER BY place, rank) AS n FROM first) AS ordered;
    RETURN coalesce(problems, '{}');
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION job_fields() RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $function$ SELECT $json$
{
    "versions": {
        "1": {"decimals":6,"digits":12,"lines":5000,"payload":1048576}, "2": {"decimals":12,"digits":15,"lines":20000,"payload":2097152}
    },
    "required": {
        "Classification": ["scheme","code"], "ElectronicAddress": ["scheme","id"], "Job": ["transaction_id","issued_at","currency"], "Line": ["quantity","unit_price"],
        "Note": ["text"], "Preceding": ["invoice_number"], "TaxAmount": ["percent","amount"], "TaxRate": ["percent"], "Withholding": ["percent"]
    },
    "formats": {
        "account": {"pattern":"^[A-Za-z0-9 ./:-]{1,40}$","message":"must be 1 to 40 letters, digits, blanks and . / : -"},
        "category": {"pattern":"^(AE|[BEGKLMOSZ])$","message":"must be a code of UNTDID 5305: S, Z, E, AE, K, G, O, L, M or B"},
        "code": {"pattern":"^[A-Za-z0-9._:/+-]{1,40}$","message":"must be 1 to 40 characters of A-Z a-z 0-9 . _ : / + -"},
        "country": {"pattern":"^[A-Z]{2}$","message":"must be an ISO 3166-1 code of two capital letters, such as GB"},
        "currency": {"pattern":"^[A-Z]{3}$","message":"must be an ISO 4217 code with a minor unit, such as GBP"},
        "date": {"pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}$","message":"must be a date such as 2010-12-31"},
        "language": {"pattern":"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$","message":"must be a language tag such as de or pt-BR"},
        "producer": {"pattern":"^[A-Za-z0-9._:/@+=-]{1,64}$","message":"must be 1 to 64 characters of A-Z a-z 0-9 . _ : / @ + = -"},
        "series": {"pattern":"^[A-Z0-9-]{1,32}$","message":"must be 1 to 32 characters of A-Z 0-9 -"},
        "type_code": {"pattern":"^[1-9][0-9]{0,2}$","message":"must be a code of UNTDID 1001, such as 384"}
    },
    "currencies": {
        "ADP":0, "AED":2, "AFA":2, "AFN":2, "ALK":2, "ALL":2, "AMD":2, "ANG":2, "AOA":2, "AOK":2, "AON":2, "AOR":2, "ARA":2, "ARP":2, "ARS":2, "ARY":2, "ATS":2, "AUD":2,
        "AWG":2, "AYM":2, "AZM":2, "AZN":2, "BAD":2, "BAM":2, "BBD":2, "BDT":2, "BEC":0, "BEF":0, "BEL":0, "BGJ":2, "BGK":2, "BGL":2, "BGN":2, "BHD":3, "BIF":0, "BMD":2,
        "BND":2, "BOB":2, "BOP":2, "BOV":2, "BRB":2, "BRC":2, "BRE":2, "BRL":2, "BRN":2, "BRR":2, "BSD":2, "BTN":2, "BUK":2, "BWP":2, "BYB":0, "BYN":2, "BYR":0, "BZD":2,
        "CAD":2, "CDF":2, "CHC":2, "CHE":2, "CHF":2, "CHW":2, "CLF":4, "CLP":0, "CNY":2, "COP":2, "COU":2, "CRC":2, "CSD":2, "CSJ":2, "CSK":2, "CUC":2, "CUP":2, "CVE":2,
        "CYP":2, "CZK":2, "DDM":2, "DEM":2, "DJF":0, "DKK":2, "DOP":2, "DZD":2, "ECS":2, "ECV":2, "EEK":2, "EGP":2, "ERN":2, "ESA":0, "ESB":0, "ESP":0, "ETB":2, "EUR":2,
        "FIM":2, "FJD":2, "FKP":2, "FRF":2, "GBP":2, "GEK":2, "GEL":2, "GHC":2, "GHP":2, "GHS":2, "GIP":2, "GMD":2, "GNE":2, "GNF":0, "GNS":2, "GQE":2, "GRD":0, "GTQ":2,
        "GWE":2, "GWP":2, "GYD":2, "HKD":2, "HNL":2, "HRD":2, "HRK":2, "HTG":2, "HUF":2, "IDR":2, "IEP":2, "ILP":2, "ILR":2, "ILS":2, "INR":2, "IQD":3, "IRR":2, "ISJ":2,
        "ISK":0, "ITL":0, "JMD":2, "JOD":3, "JPY":0, "KES":2, "KGS":2, "KHR":2, "KMF":0, "KPW":2, "KRW":0, "KWD":3, "KYD":2, "KZT":2, "LAJ":2, "LAK":2, "LBP":2, "LKR":2,
        "LRD":2, "LSL":2, "LSM":2, "LTL":2, "LTT":2, "LUC":0, "LUF":0, "LUL":0, "LVL":2, "LVR":2, "LYD":3, "MAD":2, "MDL":2, "MGA":2, "MGF":0, "MKD":2, "MLF":2, "MMK":2,
        "MNT":2, "MOP":2, "MRO":2, "MRU":2, "MTL":2, "MTP":2, "MUR":2, "MVQ":2, "MVR":2, "MWK":2, "MXN":2, "MXP":2, "MXV":2, "MYR":2, "MZE":2, "MZM":2, "MZN":2, "NAD":2,
        "NGN":2, "NIC":2, "NIO":2, "NLG":2, "NOK":2, "NPR":2, "NZD":2, "OMR":3, "PAB":2, "PEH":2, "PEI":2, "PEN":2, "PES":2, "PGK":2, "PHP":2, "PKR":2, "PLN":2, "PLZ":2,
        "PTE":0, "PYG":0, "QAR":2, "RHD":2, "ROK":2, "ROL":2, "RON":2, "RSD":2, "RUB":2, "RUR":2, "RWF":0, "SAR":2, "SBD":2, "SCR":2, "SDD":2, "SDG":2, "SDP":2, "SEK":2,
        "SGD":2, "SHP":2, "SIT":2, "SKK":2, "SLE":2, "SLL":2, "SOS":2, "SRD":2, "SRG":2, "SSP":2, "STD":2, "STN":2, "SUR":2, "SVC":2, "SYP":2, "SZL":2, "THB":2, "TJR":2,
        "TJS":2, "TMM":2, "TMT":2, "TND":3, "TOP":2, "TPE":0, "TRL":0, "TRY":2, "TTD":2, "TWD":2, "TZS":2, "UAH":2, "UAK":2, "UGS":2, "UGW":2, "UGX":0, "USD":2, "USN":2,
        "USS":2, "UYI":0, "UYN":2, "UYP":2, "UYU":2, "UYW":4, "UZS":2, "VEB":2, "VED":2, "VEF":2, "VES":2, "VNC":2, "VND":0, "VUV":0, "WST":2, "XAD":2, "XAF":0, "XCD":2,
        "XCG":2, "XEU":2, "XOF":0, "XPF":0, "YDD":2, "YER":2, "YUD":2, "YUM":2, "YUN":2, "ZAL":2, "ZAR":2, "ZMK":2, "ZMW":2, "ZRN":2, "ZRZ":2, "ZWC":2, "ZWD":2, "ZWG":2,
        "ZWL":2, "ZWN":2, "ZWR":2
    },
    "fields": {
        "Job": {
            "credits_transaction_id": {"n":0,"is":"identifier","most":128,"filled":true,"integer":true}, "customer_id": {"n":1,"is":"text"},
            "customer_name": {"n":2,"is":"text"}, "country": {"n":3,"is":"text"}, "version": {"n":4,"is":"version"},
            "transaction_id": {"n":5,"is":"identifier","most":128,"required":true,"filled":true,"integer":true},
            "idempotency_key": {"n":6,"is":"identifier","most":255,"filled":true,"integer":true}, "producer": {"n":7,"is":"text","like":"producer","filled":true},
            "issuer": {"n":8,"is":"text","like":"series"}, "series": {"n":9,"is":"text","like":"series","filled":true},
            "issued_at": {"n":10,"is":"instant","required":true}, "currency": {"n":11,"is":"currency","required":true,"filled":true},
            "lines": {"n":12,"is":"lines","of":"Line","most":20000}, "metadata": {"n":13,"is":"metadata"},
            "kind": {"n":14,"is":"text","one":["invoice","credit_note"],"version":2}, "type_code": {"n":15,"is":"text","like":"type_code","version":2},
            "prices": {"n":16,"is":"text","one":["net","gross"],"version":2}, "expected_total": {"n":17,"is":"number","version":2},
            "expected_payable": {"n":18,"is":"number","version":2}, "replaces_transaction_id": {"n":19,"is":"identifier","most":128,"version":2},
            "preceding": {"n":20,"is":"list","of":"Preceding","most":100,"version":2}, "allowances": {"n":21,"is":"list","of":"Adjustment","most":100,"version":2},
            "charges": {"n":22,"is":"list","of":"Adjustment","most":100,"version":2}, "withholdings": {"n":23,"is":"list","of":"Withholding","most":10,"version":2},
            "rounding": {"n":24,"is":"number","version":2}, "prepaid": {"n":25,"is":"number","version":2},
            "tax_currency": {"n":26,"is":"text","like":"currency","version":2}, "tax_currency_rate": {"n":27,"is":"number","version":2},
            "tax_currency_rate_date": {"n":28,"is":"text","like":"date","version":2}, "tax_currency_rate_source": {"n":29,"is":"text","most":200,"version":2},
            "tax_amounts": {"n":30,"is":"list","of":"TaxAmount","most":100,"version":2}, "tax_point_date": {"n":31,"is":"text","like":"date","version":2},
            "due_date": {"n":32,"is":"text","like":"date","version":2}, "period": {"n":33,"is":"object","of":"Period","version":2},
            "delivery": {"n":34,"is":"object","of":"Delivery","version":2}, "seller": {"n":35,"is":"object","of":"Party","version":2},
            "buyer": {"n":36,"is":"object","of":"Party","version":2}, "payee": {"n":37,"is":"object","of":"Party","version":2},
            "tax_representative": {"n":38,"is":"object","of":"Party","version":2}, "payment": {"n":39,"is":"object","of":"Payment","version":2},
            "buyer_reference": {"n":40,"is":"text","most":200,"version":2}, "order_reference": {"n":41,"is":"text","most":200,"version":2},
            "contract_reference": {"n":42,"is":"text","most":200,"version":2}, "project_reference": {"n":43,"is":"text","most":200,"version":2},
            "tender_reference": {"n":44,"is":"text","most":200,"version":2}, "despatch_reference": {"n":45,"is":"text","most":200,"version":2},
            "receipt_reference": {"n":46,"is":"text","most":200,"version":2}, "object_reference": {"n":47,"is":"text","most":200,"version":2},
            "accounting_reference": {"n":48,"is":"text","most":200,"version":2}, "notes": {"n":49,"is":"list","of":"Note","most":20,"version":2},
            "language": {"n":50,"is":"text","like":"language","version":2}
        },
        "Line": {
            "sku": {"n":0,"is":"text"}, "description": {"n":1,"is":"text"}, "quantity": {"n":2,"is":"number","required":true,"narrow":true},
            "unit_price": {"n":3,"is":"number","required":true,"narrow":true}, "discount_percent": {"n":4,"is":"number","percent":true,"narrow":true},
            "tax_percent": {"n":5,"is":"number","percent":true,"narrow":true}, "name": {"n":6,"is":"text","most":4000,"version":2},
            "unit": {"n":7,"is":"text","like":"code","version":2}, "base_quantity": {"n":8,"is":"number","version":2},
            "discount_amount": {"n":9,"is":"number","version":2}, "charge_amount": {"n":10,"is":"number","version":2},
            "discount_reason": {"n":11,"is":"text","most":4000,"version":2}, "charge_reason": {"n":12,"is":"text","most":4000,"version":2},
            "prices": {"n":13,"is":"text","one":["net","gross"],"version":2}, "taxes": {"n":14,"is":"list","of":"TaxRate","most":8,"version":2},
            "tax_category": {"n":15,"is":"text","like":"category","version":2}, "exemption_reason": {"n":16,"is":"text","most":4000,"version":2},
            "exemption_code": {"n":17,"is":"text","like":"code","version":2}, "period": {"n":18,"is":"object","of":"Period","version":2},
            "item_ids": {"n":19,"is":"object","of":"ItemIDs","version":2}, "classifications": {"n":20,"is":"list","of":"Classification","most":20,"version":2},
            "origin_country": {"n":21,"is":"text","like":"country","version":2}, "note": {"n":22,"is":"text","most":4000,"version":2},
            "order_line": {"n":23,"is":"text","most":200,"version":2}, "accounting_reference": {"n":24,"is":"text","most":200,"version":2}
        },
        "Address": {
            "line1": {"n":0,"is":"text","most":500}, "line2": {"n":1,"is":"text","most":500}, "line3": {"n":2,"is":"text","most":500},
            "city": {"n":3,"is":"text","most":200}, "postcode": {"n":4,"is":"text","most":50}, "region": {"n":5,"is":"text","most":200},
            "country_code": {"n":6,"is":"text","like":"country"}
        },
        "Adjustment": {
            "reason": {"n":0,"is":"text","most":4000}, "reason_code": {"n":1,"is":"text","like":"code"}, "amount": {"n":2,"is":"number"},
            "percent": {"n":3,"is":"number","percent":true}, "tax_percent": {"n":4,"is":"number","percent":true}, "prices": {"n":5,"is":"text","one":["net","gross"]},
            "taxes": {"n":6,"is":"list","of":"TaxRate","most":8}, "tax_category": {"n":7,"is":"text","like":"category"},
            "exemption_reason": {"n":8,"is":"text","most":4000}, "exemption_code": {"n":9,"is":"text","like":"code"}
        },
        "Classification": {
            "scheme": {"n":0,"is":"text","like":"code","required":true}, "code": {"n":1,"is":"text","most":100,"required":true}
        },
        "Contact": {
            "name": {"n":0,"is":"text","most":500}, "phone": {"n":1,"is":"text","most":100}, "email": {"n":2,"is":"text","most":320}
        },
        "Delivery": {
            "name": {"n":0,"is":"text","most":500}, "date": {"n":1,"is":"text","like":"date"}, "address": {"n":2,"is":"object","of":"Address"}
        },
        "ElectronicAddress": {
            "scheme": {"n":0,"is":"text","like":"code","required":true}, "id": {"n":1,"is":"text","most":320,"required":true}
        },
        "ItemIDs": {
            "seller": {"n":0,"is":"text","most":200}, "buyer": {"n":1,"is":"text","most":200}, "standard": {"n":2,"is":"text","most":200},
            "standard_scheme": {"n":3,"is":"text","like":"code"}
        },
        "Note": {
            "code": {"n":0,"is":"text","like":"code"}, "text": {"n":1,"is":"text","most":4000,"required":true}
        },
        "Party": {
            "name": {"n":0,"is":"text","most":500}, "trading_name": {"n":1,"is":"text","most":500}, "legal_id": {"n":2,"is":"text","most":100},
            "vat_id": {"n":3,"is":"text","most":100}, "tax_id": {"n":4,"is":"text","most":100}, "email": {"n":5,"is":"text","most":320},
            "electronic_address": {"n":6,"is":"object","of":"ElectronicAddress"}, "contact": {"n":7,"is":"object","of":"Contact"},
            "address": {"n":8,"is":"object","of":"Address"}
        },
        "Payment": {
            "terms": {"n":0,"is":"text","most":4000}, "means_code": {"n":1,"is":"text","like":"code"}, "iban": {"n":2,"is":"text","like":"account"},
            "bic": {"n":3,"is":"text","like":"account"}, "account_name": {"n":4,"is":"text","most":500}, "reference": {"n":5,"is":"text","most":200},
            "mandate": {"n":6,"is":"text","most":200}
        },
        "Period": {
            "start": {"n":0,"is":"text","like":"date"}, "end": {"n":1,"is":"text","like":"date"}
        },
        "Preceding": {
            "invoice_number": {"n":0,"is":"text","most":200,"required":true}, "date": {"n":1,"is":"text","like":"date"}
        },
        "TaxAmount": {
            "code": {"n":0,"is":"text","like":"code"}, "category": {"n":1,"is":"text","like":"category"},
            "percent": {"n":2,"is":"number","required":true,"percent":true}, "amount": {"n":3,"is":"number","required":true}
        },
        "TaxRate": {
            "code": {"n":0,"is":"text","like":"code"}, "category": {"n":1,"is":"text","like":"category"},
            "percent": {"n":2,"is":"number","required":true,"percent":true}, "compound": {"n":3,"is":"truth"}
        },
        "Withholding": {
            "code": {"n":0,"is":"text","like":"code"}, "percent": {"n":1,"is":"number","required":true,"percent":true}, "base": {"n":2,"is":"number"}
        }
    }
}
$json$::jsonb $function$;
-- +goose StatementEnd
DROP FUNCTION accept_creditor(text), refuse_unknown_fields();
