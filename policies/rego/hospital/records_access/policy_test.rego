package hospital.records_access_test

import data.hospital.records_access

allowed(document) := granted if {
	granted := records_access.allow with input as document
} else := false

request := {
	"tenant": "st-anna",
	"action": "records:read",
	"subject": {
		"id": "dr-mora",
		"type": "user",
		"roles": ["physician"],
		"groups": [],
		"authentication": "mfa",
		"attributes": {"tenant": "st-anna"},
	},
	"resource": {
		"id": "/patients/7/record",
		"type": "record",
		"owner": "patient-7",
		"labels": {},
		"attributes": {"care_team": ["dr-mora", "nurse-ilic"]},
	},
	"device": {"managed": true, "compliant": true, "disk_encrypted": true, "attributes": {}},
	"location": {"country": "DE", "anonymous": false},
	"behaviour": {"score": 0.1, "signals": []},
	"context": {},
}

replaced(path, value) := json.patch(request, [{"op": "replace", "path": path, "value": value}])

without(path) := json.patch(request, [{"op": "remove", "path": path}])

codes(document) := {reason.code | some reason in denied} if {
	denied := records_access.deny with input as document
}

outsider := replaced("/resource/attributes/care_team", ["nurse-ilic"])

emergency(reason) := json.patch(outsider, [{
	"op": "add",
	"path": "/context/break_glass",
	"value": {"declared": true, "reason": reason},
}])

test_physician_reads_a_patient_in_care if {
	allowed(request)
	codes(request) == set()
}

test_physician_outside_the_care_team_is_not_allowed if {
	allowed(outsider) == false
	allowed(without("/resource/attributes/care_team")) == false
}

test_nurse_may_not_prescribe if {
	document := json.patch(request, [
		{"op": "replace", "path": "/subject/id", "value": "nurse-ilic"},
		{"op": "replace", "path": "/subject/roles", "value": ["nurse"]},
	])
	allowed(document)
	allowed(json.patch(document, [{"op": "replace", "path": "/action", "value": "records:prescribe"}])) == false
}

test_billing_sees_invoices_only if {
	billing := replaced("/subject/roles", ["billing"])
	allowed(billing) == false
	invoice := json.patch(billing, [
		{"op": "replace", "path": "/action", "value": "invoices:read"},
		{"op": "replace", "path": "/resource/type", "value": "invoice"},
	])
	allowed(invoice)
}

own := json.patch(request, [
	{"op": "replace", "path": "/subject/id", "value": "patient-7"},
	{"op": "replace", "path": "/subject/roles", "value": ["patient"]},
	{"op": "remove", "path": "/device"},
	{"op": "remove", "path": "/location"},
])

test_patient_reads_the_own_record_from_any_device if {
	allowed(own)
	foreign := json.patch(own, [{"op": "replace", "path": "/subject/id", "value": "patient-8"}])
	allowed(foreign) == false
	weak := json.patch(own, [{"op": "replace", "path": "/subject/authentication", "value": "password"}])
	allowed(weak) == false
}

test_broken_glass_opens_reading_and_is_logged if {
	document := emergency("cardiac arrest in ward 3")
	allowed(document)
	obliged := records_access.obligations with input as document
	{"type": "log", "event": "glass_broken", "reason": "cardiac arrest in ward 3"} in obliged
}

test_broken_glass_takes_a_reason_a_role_and_a_strong_login if {
	allowed(emergency("short")) == false
	every patch in [
		{"op": "replace", "path": "/subject/authentication", "value": "password"},
		{"op": "replace", "path": "/subject/roles", "value": ["billing"]},
		{"op": "replace", "path": "/action", "value": "records:write"},
		{"op": "remove", "path": "/context/break_glass/declared"},
		{"op": "remove", "path": "/device"},
	] {
		allowed(json.patch(emergency("cardiac arrest in ward 3"), [patch])) == false
	}
}

test_sealed_record_opens_to_owner_and_emergency_only if {
	seal := [{"op": "add", "path": "/resource/labels/sealed", "value": "true"}]
	codes(json.patch(request, seal)) == {"record_sealed"}
	codes(json.patch(own, seal)) == set()
	codes(json.patch(emergency("cardiac arrest in ward 3"), seal)) == set()
}

test_foreign_tenant_denies if {
	codes(replaced("/subject/attributes/tenant", "st-olaf")) == {"foreign_tenant"}
	codes(without("/subject/attributes/tenant")) == {"foreign_tenant"}
}

test_score_denies_from_its_bound_on if {
	allowed(replaced("/behaviour/score", 0.69))
	allowed(replaced("/behaviour/score", 0.7)) == false
	codes(replaced("/behaviour/score", 0.7)) == {"behaviour_risk"}
}

test_missing_fact_is_not_allowed if {
	every path in {"/device", "/location", "/behaviour", "/behaviour/score", "/subject", "/action"} {
		allowed(without(path)) == false
	}
}
