package bank.card_zone_test

import data.bank.card_zone

allowed(document) := granted if {
	granted := card_zone.allow with input as document
} else := false

denials(document) := count(denied) if {
	denied := card_zone.deny with input as document
}

request := {
	"function": {
		"id": "bank-card-authoriser",
		"labels": {"app": "card-authoriser", "zone": "cardholder-data"},
		"roles": ["cardholder-data"],
		"attributes": {},
	},
	"destination": {
		"id": "bank-token-vault",
		"kind": "function",
		"labels": {"app": "token-vault", "zone": "cardholder-data"},
		"attributes": {},
	},
}

replaced(path, value) := json.patch(request, [{"op": "replace", "path": path, "value": value}])

denied(document) if denials(document) == 1

test_listed_pair_in_the_zone_is_allowed if {
	allowed(request)
	not denied(request)
}

test_unlisted_pair_in_the_zone_is_not_allowed if {
	allowed(replaced("/destination/labels/app", "hsm")) == false
}

test_caller_without_the_zones_role_denies if {
	document := replaced("/function/roles", ["reporting"])
	allowed(document) == false
	denied(document)
}

test_caller_without_the_zones_label_denies if {
	document := json.patch(request, [{"op": "remove", "path": "/function/labels/zone"}])
	allowed(document) == false
	denied(document)
}

test_call_out_of_the_zone_is_not_allowed if {
	document := replaced("/destination/labels/zone", "public")
	allowed(document) == false
	not denied(document)
}
