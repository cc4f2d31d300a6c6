package bank.card_zone_test

import data.bank.card_zone

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

denied(document) if count(card_zone.deny) == 1 with input as document

test_listed_pair_in_the_zone_is_allowed if {
	card_zone.allow with input as request
	not denied(request)
}

test_unlisted_pair_in_the_zone_is_not_allowed if {
	not card_zone.allow with input as replaced("/destination/labels/app", "hsm")
}

test_caller_without_the_zones_role_denies if {
	document := replaced("/function/roles", ["reporting"])
	not card_zone.allow with input as document
	denied(document)
}

test_caller_without_the_zones_label_denies if {
	document := json.patch(request, [{"op": "remove", "path": "/function/labels/zone"}])
	not card_zone.allow with input as document
	denied(document)
}

test_call_out_of_the_zone_is_not_allowed if {
	document := replaced("/destination/labels/zone", "public")
	not card_zone.allow with input as document
	not denied(document)
}
