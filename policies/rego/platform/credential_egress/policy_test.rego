package platform.credential_egress_test

import data.platform.credential_egress

denials(document) := count(denied) if {
	denied := credential_egress.deny with input as document
}

finding(category) := {"detector": "any", "category": category, "start": 0, "end": 4, "confidence": 1}

request(kind, findings) := {
	"destination": {"id": "d", "kind": kind, "labels": {}, "attributes": {}},
	"payload": {"size": 4, "findings": findings},
}

test_credential_to_the_outside_denies if {
	denials(request("external", [finding("credential")])) == 1
}

test_credential_inside_is_left_to_others if {
	denials(request("service", [finding("credential")])) == 0
	denials(request("function", [finding("credential")])) == 0
}

test_credential_to_an_unknown_kind_denies if {
	document := json.patch(request("external", [finding("credential")]), [{"op": "remove", "path": "/destination/kind"}])
	denials(document) == 1
}

test_other_data_is_left_to_others if {
	denials(request("external", [finding("financial")])) == 0
	denials(request("external", [])) == 0
}
