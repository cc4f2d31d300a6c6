package platform.credential_egress_test

import data.platform.credential_egress

finding(category) := {"detector": "any", "category": category, "start": 0, "end": 4, "confidence": 1}

request(kind, findings) := {
	"destination": {"id": "d", "kind": kind, "labels": {}, "attributes": {}},
	"payload": {"size": 4, "findings": findings},
}

test_credential_to_the_outside_denies if {
	count(credential_egress.deny) == 1 with input as request("external", [finding("credential")])
}

test_credential_inside_is_left_to_others if {
	count(credential_egress.deny) == 0 with input as request("service", [finding("credential")])
	count(credential_egress.deny) == 0 with input as request("function", [finding("credential")])
}

test_credential_to_an_unknown_kind_denies if {
	document := json.patch(request("external", [finding("credential")]), [{"op": "remove", "path": "/destination/kind"}])
	count(credential_egress.deny) == 1 with input as document
}

test_other_data_is_left_to_others if {
	count(credential_egress.deny) == 0 with input as request("external", [finding("financial")])
	count(credential_egress.deny) == 0 with input as request("external", [])
}
