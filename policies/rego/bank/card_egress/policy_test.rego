package bank.card_egress_test

import data.bank.card_egress

allowed(document) := granted if {
	granted := card_egress.allow with input as document
} else := false

denials(document) := count(denied) if {
	denied := card_egress.deny with input as document
}

obliged(document) := obligations if {
	obligations := card_egress.obligations with input as document
}

card := {"detector": "card_number", "category": "financial", "start": 8, "end": 24, "confidence": 0.99}

request(id, kind, findings) := {
	"function": {"id": "bank-authoriser", "labels": {}, "roles": [], "attributes": {}},
	"destination": {"id": id, "kind": kind, "labels": {}, "attributes": {}},
	"transport": {"encrypted": true, "tls_version": "1.3"},
	"payload": {"size": 40, "findings": findings},
}

mask := {"type": "mask", "detectors": ["card_number"]}

test_vault_gets_the_number if {
	document := request("bank-token-vault", "function", [card])
	allowed(document)
	obliged(document) == set()
}

test_destination_that_only_borrows_the_vaults_name_denies if {
	document := request("bank-token-vault", "external", [card])
	allowed(document) == false
	denials(document) == 1
}

test_acquirer_gets_the_number_over_modern_tls_only if {
	document := request("acquirer.example", "external", [card])
	allowed(document)
	obliged(document) == set()
	every patch in [
		{"op": "replace", "path": "/transport/encrypted", "value": false},
		{"op": "replace", "path": "/transport/tls_version", "value": "1.1"},
		{"op": "remove", "path": "/transport"},
	] {
		weak := json.patch(document, [patch])
		allowed(weak) == false
		denials(weak) == 1
	}
}

test_service_inside_gets_it_masked if {
	document := request("bank-reporting", "service", [card])
	allowed(document)
	obliged(document) == {mask}
}

test_stranger_gets_no_number if {
	document := request("pastebin.example", "external", [card])
	allowed(document) == false
	denied := card_egress.deny with input as document
	{reason.code | some reason in denied} == {"card_leaves"}
}

test_payload_without_a_card_number_may_leave if {
	document := request("partner.example", "external", [])
	allowed(document)
	obliged(document) == set()
}
