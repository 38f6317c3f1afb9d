-- +goose Up

-- A function finds its own schema's tables first, and nothing of its caller's temporary ones.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- The fields of a job, as the program describes them: accept checks jobs by this text alone, and a test compares it with the program's. A
-- field that is added there is added here, by a migration that replaces this function.
-- +goose StatementBegin
CREATE FUNCTION job_fields() RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $function$ SELECT $json$
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

-- A name that a sender made up, in quotes as the program spells them. Of characters that Unicode 13.0 doesn't have, some are spelled otherwise.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_name(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    shown text := name;
    told  text := '';
    c     text;
BEGIN
    IF name ~ '^[A-Za-z0-9_-]{1,64}$' THEN
        RETURN name;
    END IF;
    IF octet_length(name) > 64 THEN
        shown := left(name, 64);
        WHILE octet_length(shown) > 64 LOOP
            shown := left(shown, -1);
        END LOOP;
    END IF;
    FOREACH c IN ARRAY coalesce(regexp_split_to_array(nullif(shown, ''), ''), '{}') LOOP
        told := told || CASE
            WHEN c IN ('"', '\') THEN '\' || c
            WHEN c ~ '[\u0007-\u000D]' THEN '\' || substr('abtnvfr', ascii(c) - 6, 1)
            WHEN c = U&'\FDD0' THEN '\x00' -- see accept_check
            WHEN c = U&'\FDD1' THEN U&'\FFFD'
            WHEN c ~ '[\u0001-\u001F\u007F]' THEN '\x' || lpad(to_hex(ascii(c)), 2, '0')
            WHEN c ~ '[\u0020-\u007E]' OR c !~ '[\u1680\u2000-\u200A\u202F\u205F\u3000]' AND is_identifier('1' || normalize(c, NFC) || '1', 9) THEN c
            WHEN ascii(c) > 65535 THEN '\U' || lpad(to_hex(ascii(c)), 8, '0')
            ELSE '\u' || lpad(to_hex(ascii(c)), 4, '0')
        END;
    END LOOP;
    RETURN '"' || told || '"' || CASE WHEN octet_length(name) > 64 THEN '…' ELSE '' END;
END $$;

-- Half a sentence that names the known name nearest to this one, as the program finds it: by letters put in, taken out and changed.
CREATE FUNCTION accept_hint(name text, object text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    plain    CONSTANT bytea := convert_to(lower(translate(name, '_-', '')), 'UTF8');
    long     CONSTANT integer := length(plain);
    known    record;
    other    bytea;
    best     integer := 3;
    nearest  text := '';
    distance integer[];
    diagonal integer;
    changed  integer;
BEGIN
    IF octet_length(name) > 64 THEN
        RETURN '';
    END IF;
    FOR known IN SELECT m.key AS name FROM jsonb_each(job_fields() #> ARRAY['fields', object]) AS m ORDER BY (m.value ->> 'n')::integer LOOP
        other := convert_to(replace(known.name, '_', ''), 'UTF8');
        IF abs(length(known.name) - octet_length(name)) > 2 * best OR abs(length(other) - long) >= best THEN
            CONTINUE;
        END IF;
        distance := ARRAY(SELECT generate_series(0, length(other)));
        FOR i IN 1..long LOOP
            diagonal := distance[1];
            distance[1] := i;
            FOR j IN 1..length(other) LOOP
                changed := diagonal + CASE WHEN get_byte(plain, i - 1) = get_byte(other, j - 1) THEN 0 ELSE 1 END;
                diagonal := distance[j + 1];
                distance[j + 1] := least(changed, distance[j] + 1, diagonal + 1);
            END LOOP;
        END LOOP;
        changed := distance[length(other) + 1];
        IF changed < best AND changed < length(known.name) / 2 THEN
            best := changed;
            nearest := ', did you mean ' || known.name || '?';
        END IF;
    END LOOP;
    RETURN nearest;
END $$;

-- What is wrong with a text as a number. It never casts the text, as a short one may stand for gigabytes of zeros.
CREATE FUNCTION accept_number(value text, digits integer, decimals integer, percent boolean) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    number      CONSTANT text := split_part(translate(value, 'E', 'e'), 'e', 1);
    fraction    text := split_part(number, '.', 2);
    exponent    bigint := 0;
    spelled     text;
    mantissa    text;
    significant text;
BEGIN
    IF value !~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$' THEN
        RETURN 'must be a decimal number such as 2.50';
    END IF;
    mantissa := ltrim(translate(number, '-.', ''), '0');
    significant := rtrim(mantissa, '0');
    IF significant = '' THEN
        RETURN NULL; -- zero, whatever its exponent says
    END IF;
    spelled := substr(value, length(number) + 2);
    IF spelled <> '' THEN
        exponent := CASE WHEN length(ltrim(spelled, '+-0')) > 12 THEN 1099511627776 ELSE ('0' || ltrim(spelled, '+-'))::bigint END;
        exponent := CASE WHEN spelled LIKE '-%' THEN -exponent ELSE exponent END;
    END IF;
    exponent := exponent - length(fraction) + length(mantissa) - length(significant); -- the value is significant × 10^exponent
    IF length(significant) + exponent > digits THEN
        RETURN 'must be smaller than 1' || repeat(',000', digits / 3) || ' in size';
    ELSIF exponent < -decimals THEN
        fraction := substr(value, length(split_part(value, '.', 1)) + 2);
        RETURN format('must not have more than %s decimals', decimals) || CASE
            WHEN length(significant) <= 17 AND length(fraction) >= 12 AND (fraction LIKE '%999999%' OR rtrim(fraction, '0') LIKE '%000000%')
            THEN ', and looks like the binary noise of a floating-point number: round it before you send it' ELSE '' END;
    ELSIF percent AND (value LIKE '-%' OR length(significant) + exponent > 3 OR length(significant) + exponent = 3 AND significant <> '1') THEN
        RETURN 'must be a percentage from 0 to 100';
    END IF;
    RETURN NULL;
END $$;

-- What is wrong with a text as an identifier: is_identifier with the program's words.
CREATE FUNCTION accept_identifier(value text, most integer) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    c text;
BEGIN
    IF is_identifier(value, most) THEN
        RETURN NULL;
    ELSIF length(value) NOT BETWEEN 1 AND most THEN
        RETURN format('must have 1 to %s characters', most);
    END IF;
    FOREACH c IN ARRAY regexp_split_to_array(value, '') LOOP
        -- Between digits, with which nothing composes, a character is judged alone.
        CONTINUE WHEN is_identifier('1' || normalize(c, NFC) || '1', 9);
        RETURN 'must not have ' || CASE
            WHEN c = U&'\00A0' THEN 'a no-break space (U+00A0): send a plain blank'
            WHEN c ~ '[\u0001-\u001F\u007F-\u009F\uFDD0]' THEN 'control characters, such as a tab or the end of a line' -- U+FDD0: see accept_check
            WHEN c ~ ('[\u00AD\u0600-\u0605\u061C\u06DD\u070F\u0890\u0891\u08E2\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\uFFF9-\uFFFB'
                || '\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0001\U000E0020-\U000E007F]')
                THEN 'invisible format characters, such as U+200B or U+FEFF'
            WHEN c ~ '[\u2028\u2029]' THEN 'separators of lines or paragraphs'
            WHEN c ~ '[\uE000-\uF8FF\U000F0000-\U000FFFFD\U00100000-\U0010FFFD]' THEN 'characters for private use'
            ELSE 'characters that Unicode 13.0 doesn''t know'
        END;
    END LOOP;
    IF value ~ '^[\u0020\u1680\u2000-\u200A\u202F\u205F\u3000]|[\u0020\u1680\u2000-\u200A\u202F\u205F\u3000]$' THEN
        RETURN 'must not begin or end with a blank';
    END IF;
    RETURN 'must be in Unicode''s normalization form NFC: normalize it before you send it';
END $$;

-- Whether the first ten characters, which look like a date, are one of the calendar. There is a year 0.
CREATE FUNCTION accept_day(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    year  CONSTANT integer := left(value, 4)::integer;
    month CONSTANT integer := substr(value, 6, 2)::integer;
BEGIN
    RETURN month BETWEEN 1 AND 12 AND substr(value, 9, 2)::integer BETWEEN 1 AND CASE
        WHEN month IN (4, 6, 9, 11) THEN 30
        WHEN month <> 2 THEN 31
        WHEN year % 4 = 0 AND (year % 100 <> 0 OR year % 400 = 0) THEN 29
        ELSE 28 END;
END $$;

-- What is wrong with a text as an RFC 3339 time.
CREATE FUNCTION accept_instant(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$
DECLARE
    minute integer; -- of the day that is written, in UTC
    zone   text;
BEGIN
    IF value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' OR NOT accept_day(value) THEN
        RETURN 'must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z';
    ELSIF left(value, 4) IN ('0000', '0001', '9999') THEN
        zone := CASE WHEN right(value, 1) IN ('Z', 'z') THEN '+00:00' ELSE right(value, 6) END;
        minute := substr(value, 12, 2)::integer * 60 + substr(value, 15, 2)::integer
            - (left(zone, 1) || '1')::integer * (substr(zone, 2, 2)::integer * 60 + right(zone, 2)::integer);
        IF left(value, 10) = '0000-12-31' AND minute >= 1440 OR left(value, 10) = '0001-01-01' AND minute >= 0 THEN
            -- The first moment of the year 1 is what a program sends that forgets the time.
            RETURN CASE WHEN minute % 1440 = 0 AND substr(value, 18, 2) = '00' AND substr(value, 20) !~ '^\.[0-9]{0,5}[1-9]' THEN 'is required' END;
        ELSIF left(value, 4) = '0000' OR left(value, 10) = '0001-01-01' OR left(value, 10) = '9999-12-31' AND minute >= 1440 THEN
            RETURN 'must lie in the years 1 to 9999, in UTC';
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- It goes through the job and job_fields() side by side, and asks of each member what is wrong with it. The members are looked at as they
-- are written, since jsonb has forgotten what was given twice and can't hold each number. A marked payload is one of accept_check.
CREATE FUNCTION job_problems(payload text, marked boolean) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
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

-- Of version 1, accept_problems says as before whether a job is taken, at the same cost, and this has the words. Version 2 is looked at by
-- job_problems alone.
CREATE OR REPLACE FUNCTION accept_check(payload text, OUT body jsonb, OUT problems text[]) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    complete  boolean := true;
    bytes     CONSTANT integer := coalesce(octet_length(payload), 0);
    marked    text;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF bytes = 0 OR bytes > 2097152 THEN
        problems := ARRAY[CASE bytes WHEN 0 THEN 'payload must be a JSON object, and is empty' ELSE format('payload has %s bytes and must not have more than 2,097,152', to_char(bytes, 'FM999,999,999,999')) END];
        RETURN;
    END IF;
    BEGIN
        BEGIN
            body := payload::jsonb;
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- A number that the server can't hold may be a good one, such as 0e-99999. In version 1, that is left to the worker.
            complete := false;
            SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(payload::json) AS m
            WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer');
        END;
        IF jsonb_typeof(body) <> 'object' THEN
            problems := ARRAY[no_object];
        ELSIF bytes > 1048576 AND coalesce(body -> 'version', 'null') IN ('1', 'null') THEN
            problems := ARRAY[format('payload has %s bytes and must not have more than 1,048,576', to_char(bytes, 'FM999,999,999'))];
        ELSIF body -> 'version' = '2' THEN
            problems := job_problems(payload, false);
        ELSE
            problems := accept_problems(body, payload, complete);
            IF cardinality(problems) > 0 THEN
                problems := coalesce(nullif(job_problems(payload, false), '{}'), problems);
            END IF;
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        problems := ARRAY[no_object]; -- the server's own message would quote the payload
    END;
    IF problems = ARRAY[no_object] AND payload !~* '[\uFDD0\uFDD1]|\\ufdd[01]' THEN
        -- Escapes of what no text can hold can be named by their fields: marks stand in for them, which are characters that no text has, U+FDD0
        -- for U+0000 and U+FDD1 for a lone surrogate.
        marked := regexp_replace(payload, '(?<!\\)((\\\\)*)\\u0000', '\1' || U&'\FDD0', 'g');
        marked := regexp_replace(marked, '(?<!\\)((\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}', '\1' || U&'\+01F600', 'g');
        marked := regexp_replace(marked, '(?<!\\)((\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1' || U&'\FDD1', 'g');
        IF marked <> payload THEN
            BEGIN
                problems := coalesce(nullif(job_problems(marked, true), '{}'), problems);
            EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
                NULL; -- it isn't JSON either
            END;
        END IF;
    END IF;
END $$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION job_fields(), job_problems(text, boolean), accept_hint(text, text), accept_number(text, integer, integer, boolean), accept_identifier(text, integer), accept_day(text), accept_instant(text) FROM PUBLIC;
COMMENT ON FUNCTION job_fields() IS 'The fields of a job in all versions of its format, by which accept checks jobs: of each object, with formats, currencies and bounds.';
COMMENT ON FUNCTION accept_hint(text, text) IS 'Half a sentence that names the field which a sender has probably meant.';
COMMENT ON FUNCTION accept_number(text, integer, integer, boolean) IS 'What is wrong with a number: with its form, its digits before the point, its decimals, or as a percentage. NULL if nothing is.';
COMMENT ON FUNCTION accept_identifier(text, integer) IS 'What is wrong with an identifier, in the worker''s words. NULL if nothing is.';
COMMENT ON FUNCTION accept_day(text) IS 'Whether a text that begins like 2010-12-31 begins with a day of the calendar.';
COMMENT ON FUNCTION accept_instant(text) IS 'What is wrong with a time. NULL if nothing is.';
COMMENT ON FUNCTION job_problems(text, boolean) IS 'What is wrong with a job by job_fields(), one text for each bad field, in the worker''s words.';
COMMENT ON FUNCTION accept_problems(jsonb, text, boolean) IS 'Whether a job of version 1 is taken: what is wrong with it as far as SQL has always told. job_problems has the words.';

-- +goose Down

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION accept_check(payload text, OUT body jsonb, OUT problems text[]) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    complete  boolean := true;
    no_object CONSTANT text := 'payload must be a JSON object, in valid text without U+0000 and lone surrogates';
BEGIN
    IF payload IS NULL OR octet_length(payload) > 2097152 THEN
        problems := ARRAY[format('payload has %s bytes and must have 1 to 2,097,152', coalesce(octet_length(payload), 0))];
        RETURN;
    END IF;
    BEGIN
        BEGIN
            body := payload::jsonb;
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- A number that the server can't hold may be a good one, such as 0e-99999: that is left to the worker.
            complete := false;
            SELECT coalesce(jsonb_object_agg(m.key, m.value::jsonb), '{}') INTO body FROM json_each(payload::json) AS m
            WHERE m.key IN ('version', 'transaction_id', 'idempotency_key', 'producer', 'issuer');
        END;
        problems := CASE WHEN jsonb_typeof(body) = 'object' THEN accept_problems(body, payload, complete) ELSE ARRAY[no_object] END;
        IF octet_length(payload) > 1048576 AND cardinality(problems) = 0 AND coalesce(body -> 'version', 'null') IN ('1', 'null') THEN
            problems := ARRAY[format('payload has %s bytes and must have 1 to 1,048,576, or 2,097,152 in version 2', octet_length(payload))];
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        problems := ARRAY[no_object]; -- the server's own message would quote the payload
    END;
END $$;
-- +goose StatementEnd
CREATE OR REPLACE FUNCTION accept_name(name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS
$$ SELECT CASE WHEN name ~ '^[A-Za-z0-9_-]{1,64}$' THEN name ELSE to_json(left(name, 64))::text END $$;
COMMENT ON FUNCTION accept_problems(jsonb, text, boolean) IS 'What is wrong with a job as far as SQL can tell, one text for each bad field.';
DROP FUNCTION job_problems(text, boolean), job_fields(), accept_hint(text, text), accept_number(text, integer, integer, boolean), accept_identifier(text, integer), accept_day(text), accept_instant(text);
