package hospital.records_egress_test

import data.hospital.records_egress

finding := {"detector": "us_ssn", "category": "personal", "start": 0, "end": 11, "confidence": 0.9}

request(destination, findings) := {
	"function": {"id": "hospital-export", "labels": {}, "roles": [], "attributes": {}},
	"destination": object.union({"id": "d", "labels": {}, "attributes": {}}, destination),
	"transport": {"encrypted": true},
	"payload": {"size": 11, "findings": findings},
}

stranger := {"id": "pharma.example", "kind": "external"}

partner := {"id": "lab.example", "kind": "external", "labels": {"agreement": "baa"}}

test_personal_data_to_a_stranger_denies if {
	document := request(stranger, [finding])
	not records_egress.allow with input as document
	denied := records_egress.deny with input as document
	{reason.code | some reason in denied} == {"no_agreement"}
}

test_clean_payload_may_leave if {
	records_egress.allow with input as request(stranger, [])
	count(records_egress.deny) == 0 with input as request(stranger, [])
}

test_business_associate_gets_it_over_an_encrypted_connection if {
	records_egress.allow with input as request(partner, [finding])
	plain := json.patch(request(partner, [finding]), [{"op": "replace", "path": "/transport/encrypted", "value": false}])
	not records_egress.allow with input as plain
	unknown := json.patch(request(partner, [finding]), [{"op": "remove", "path": "/transport"}])
	not records_egress.allow with input as unknown
}

test_research_gets_identifiers_masked if {
	document := request({"id": "research-lake", "kind": "service"}, [finding])
	records_egress.allow with input as document
	records_egress.obligations == {{"type": "mask", "categories": ["financial", "health", "personal"]}} with input as document
}

test_service_inside_gets_it_as_it_is if {
	document := request({"id": "records-table", "kind": "service"}, [finding])
	records_egress.allow with input as document
	count(records_egress.obligations) == 0 with input as document
}

test_unknown_kind_counts_as_outside if {
	denied := records_egress.deny with input as request({"id": "who-knows"}, [finding])
	count(denied) == 1
}
