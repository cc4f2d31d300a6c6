package hospital.records_egress_test

import data.hospital.records_egress

allowed(document) := granted if {
	granted := records_egress.allow with input as document
} else := false

denials(document) := count(denied) if {
	denied := records_egress.deny with input as document
}

obliged(document) := obligations if {
	obligations := records_egress.obligations with input as document
}

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
	allowed(document) == false
	denied := records_egress.deny with input as document
	{reason.code | some reason in denied} == {"no_agreement"}
}

test_clean_payload_may_leave if {
	allowed(request(stranger, []))
	denials(request(stranger, [])) == 0
}

test_business_associate_gets_it_over_an_encrypted_connection if {
	allowed(request(partner, [finding]))
	plain := json.patch(request(partner, [finding]), [{"op": "replace", "path": "/transport/encrypted", "value": false}])
	allowed(plain) == false
	unknown := json.patch(request(partner, [finding]), [{"op": "remove", "path": "/transport"}])
	allowed(unknown) == false
}

test_research_gets_identifiers_masked if {
	document := request({"id": "research-lake", "kind": "service"}, [finding])
	allowed(document)
	obliged(document) == {{"type": "mask", "categories": ["financial", "personal"]}}
}

test_service_inside_gets_it_as_it_is if {
	document := request({"id": "records-table", "kind": "service"}, [finding])
	allowed(document)
	obliged(document) == set()
}

test_unknown_kind_counts_as_outside if {
	denials(request({"id": "who-knows"}, [finding])) == 1
}
